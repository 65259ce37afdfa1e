"""Rules as a setting: read with the spec that holds them, before anything runs."""

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from luthier.errors import SpecError
from luthier.measure.rule import parse


def _check(rule: str) -> str:
    try:
        parse(rule)
    except SpecError as error:
        raise ValueError(f"cannot be read at {error.where.rpartition(', ')[2]}: {error.what}; {error.mend}") from None
    return rule


def _listed(value: object) -> object:
    """One rule is a list of one."""
    return (value,) if isinstance(value, str) else value


Rules = Annotated[tuple[Annotated[str, AfterValidator(_check)], ...], BeforeValidator(_listed), Field(min_length=1)]
"""One rule at least; a text by itself is one."""
