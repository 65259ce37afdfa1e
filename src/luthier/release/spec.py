"""What one may ask of a release."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from luthier.artifact.released import Channel
from luthier.errors import SpecError
from luthier.release.rule import parse
from luthier.spec import Spec


def _check(rule: str) -> str:
    try:
        parse(rule)
    except SpecError as error:
        raise ValueError(f"cannot be read at {error.where.rpartition(', ')[2]}: {error.what}; {error.mend}") from None
    return rule


def _listed(value: object) -> object:
    """One rule is a list of one."""
    return (value,) if isinstance(value, str) else value


class ReleaseSpec(Spec):
    """What a tuned model must have shown before it is released."""

    gate: Annotated[tuple[Annotated[str, AfterValidator(_check)], ...], BeforeValidator(_listed), Field(min_length=1)]
    """Rules that must all hold, such as `rouge_l.after >= 0.30` or `perplexity.after <= 0.8 * perplexity.before`.
    Names are [tag.]metric.(before | after | gain | gain.low | gain.high); without a tag the held-out rows are meant."""

    channel: Channel = "stable"
    """Where it is put to use: `stable` is what everybody gets, `canary` what a share of the requests is tried on."""

    def names(self) -> list[tuple[str, ...]]:
        """Give each figure the gate asks for, in parts: ([tag,] metric, field ...)."""
        return [name.parts for rule in self.gate for name in parse(rule).names()]
