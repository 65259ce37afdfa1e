"""What one may ask of a release."""

from typing import Annotated

from pydantic import Field

from luthier.artifact.released import Channel
from luthier.measure.rule import CERTIFICATE, parse
from luthier.measure.rules import Rules
from luthier.spec import Spec


class TrialSpec(Spec):
    """What a canary must have shown before it becomes the stable release."""

    requests: Annotated[int, Field(ge=1)] = 50
    """Fewer requests to the canary decide nothing."""
    judge: str = ""
    """Who scores how much answers speak to their questions (`relevance` in rules, 1 to 5): an artifact's id, an OpenAI
    address, or `offline`, which goes by words; empty: nobody."""
    gate: Rules = ("errors.gain.low >= -0.02", "seconds.gain.low >= -0.5 * seconds.before")
    """Rules over errors, cut, seconds, tokens, agreement and, with a judge, relevance, each with before (stable), after
    (canary) and gain."""


class ReleaseSpec(Spec):
    """What a model must have shown before it is released."""

    gate: Rules
    """Rules that must all hold, such as `rouge_l.after >= 0.30` or `perplexity.after <= 0.8 * perplexity.before`.
    Names are [tag.]metric.(before | after | after.low | after.high | gain | gain.low | gain.high), without a tag of the
    held-out rows; or `certificate.` and a figure of the model's certificate."""

    not_worse: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Metric -> by how much it may be worse than that of the model in service, on the same held-out rows: the lower end
    of the paired interval of the gain must not lie below."""

    forgetting: Annotated[float, Field(ge=0)] | None = None
    """By which share general abilities may get worse (0.05: a twentieth): by the scores given as `general`, at the
    worse end of their interval, else by the loss on general questions while it was tuned."""

    certificate: bool | None = None
    """Whether the model must carry a certificate that passed; unset: one that was merged or quantised must."""

    channel: Channel = "stable"
    """Where it is put to use: `stable` is what everybody gets, `canary` what a share of the requests is tried on."""

    trial: TrialSpec = TrialSpec()
    """What it must show as a canary (`luthier release --from TRAFFIC`)."""

    def names(self) -> list[tuple[str, ...]]:
        """Give each figure of the scores that is asked for, in parts: ([tag,] metric, field ...)."""
        ruled = [name.parts for rule in self.gate for name in parse(rule).names()]
        return [parts for parts in ruled if parts[0] != CERTIFICATE] + [(name,) for name in self.not_worse]
