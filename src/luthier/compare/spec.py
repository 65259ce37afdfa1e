"""What one may ask of a comparison."""

from typing import Annotated, Literal

from pydantic import Field

from luthier.measure.rules import Rules
from luthier.spec import Spec

Count = Annotated[int, Field(ge=1)]


class SearchSpec(Spec):
    """Which prompt templates are tried on the base."""

    shots: tuple[Annotated[int, Field(ge=0)], ...] = (0, 3, 6)
    """How many solved training questions are shown before the one asked; each with each instruction. Empty: no prompt
    is looked for."""
    rows: Count = 16
    """Each template is tried on so many dev rows."""


class CompareSpec(Spec):
    """Which candidates are asked, and what will do."""

    metrics: Annotated[tuple[str, ...], Field(min_length=1)] = ("rouge_l", "token_f1", "exact_match")
    """What answers are measured by; the first decides which prompt is the best, and which candidate."""
    gate: Rules = ("rouge_l.gain.low > 0",)
    """Rules that a candidate must pass, such as `rouge_l.after >= 0.30`; before is the base, after the candidate, and
    gain.low and gain.high the ends of an interval that holds for all candidates at once."""
    tuned: bool = True
    """Whether a tuned model is a candidate."""
    also: tuple[str, ...] = ()
    """Ids of more candidates: anything that answers."""
    urls: tuple[str, ...] = ()
    """OpenAI addresses of more candidates; `http://host:port/v1#NAME` names one of the server's models."""
    search: SearchSpec = SearchSpec()
    """How a better prompt is looked for."""
    split: Literal["test", "dev"] = "test"
    """Which rows are asked; only those without a tag are."""
    rows: Count = 100
    """At most so many rows."""
    rows_per_batch: Count = 16
    """Rows given to a model at once; what a kill can lose at most."""
    max_tokens: Count = 64
    """At most so many new tokens an answer."""
    answers: Count = 10_000
    """Over so many answers the time that making a candidate took is spread."""
    seed: int = 0
    """Decides which rows are kept, which examples are shown, and what the bootstrap draws."""
    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] = 10_000
    """How often rows are drawn anew for the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """How often all intervals should hold together."""
