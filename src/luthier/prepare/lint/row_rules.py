"""Findings about single rows: those that could not be used, and those whose flags tell something."""

from collections.abc import Callable
from functools import partial

import numpy as np

from luthier.artifact.example import Example
from luthier.prepare.facts import Flag
from luthier.prepare.lint.checks import REPLACEMENT, answer_of, markers_in, question_of, texts_of
from luthier.prepare.lint.evidence import Evidence
from luthier.prepare.lint.finding import Hits, by_example, by_length, clip, hits, joined
from luthier.prepare.lint.passages import Passages
from luthier.prepare.lint.reasons import code_of

Find = Callable[[Evidence], Hits | None]


def dropped_as(code: str, *, by: str = "bad_rows", flag: Flag | None = None) -> Find:
    """Make a rule for rows that were left out for the reasons of a finding; `by` is the setting that may allow it.

    `flag` is what such rows have where they were not left out, since nothing is made of them.
    """

    def find(evidence: Evidence) -> Hits | None:
        found = [dropped for reason, dropped in sorted(evidence.dropped.items()) if code_of(reason) == code]
        is_settled = ALLOWED[by](evidence)
        together = joined(found)
        if flag is not None and together.count == 0:
            taken = evidence.taken
            rows = taken[(evidence.facts["flags"][taken] & int(flag)) != 0]
            return hits(evidence, rows, evidence.rows_in_all, by_length, is_settled=is_settled)
        if not together.count:
            return None
        return Hits(together.count, evidence.rows_in_all, together.places, is_settled=is_settled)

    return find


ALLOWED: dict[str, Callable[[Evidence], bool]] = {
    "bad_rows": lambda evidence: evidence.spec.bad_rows == "drop",
    "length": lambda evidence: evidence.spec.length.when_longer != "error",
    "never": lambda evidence: False,
}
"""Setting -> whether it allows such rows."""


def flagged(flag: Flag, show: Callable[[Example], str]) -> Find:
    """Make a rule for rows with a flag, among those that are in some split; `show` gives what is to be seen in one."""

    def find(evidence: Evidence) -> Hits | None:
        taken = evidence.taken
        rows = taken[(evidence.facts["flags"][taken] & int(flag)) != 0]
        return hits(evidence, rows, len(taken), by_example(show))

    return find


def truncated(evidence: Evidence) -> Hits | None:
    """Cut rows, those of which most is learned last: the worst first."""
    taken = evidence.taken
    rows = taken[(evidence.facts["flags"][taken] & int(Flag.TRUNCATED)) != 0]
    worst = rows[np.argsort(-evidence.facts["characters"][rows], kind="stable")]
    note = f"cut to {evidence.max_tokens:,} tokens; the end of the answer, and its stop token, are not learned"
    return hits(evidence, worst, len(taken), by_length, note=note)


def contaminated(evidence: Evidence) -> Hits | None:
    """Training rows that hold a passage of an evaluation question."""
    train = evidence.rows_of("train")
    rows = train[(evidence.facts["flags"][train] & int(Flag.CONTAMINATED)) != 0]
    note = f"{evidence.spec.lint.words} words in a row count as a passage; a shorter question counts whole"
    return hits(evidence, rows, len(train), by_example(partial(_owner, evidence.passages)), note=note)


def _owner(passages: Passages | None, example: Example) -> str:
    owners = (passages.owner_in(text) for text in texts_of(example)) if passages is not None else ()
    return next((f"holds a passage of {owner}" for owner in owners if owner is not None), "")


def echo(example: Example) -> str:
    """Show what is said twice."""
    return f"question and answer: {clip(question_of(example))!r}"


def marker(example: Example) -> str:
    """Show the first marker of a chat template."""
    return f"{(markers_in(texts_of(example)) or ['?'])[0]!r} stands in a text"


def other_language(example: Example) -> str:
    """Show question and answer."""
    return f"{clip(question_of(example), 30)!r} is answered {clip(answer_of(example), 30)!r}"


def damage(example: Example) -> str:
    """Show what stands around the lost character."""
    text = next((text for text in texts_of(example) if REPLACEMENT in text), "")
    place = max(0, text.find(REPLACEMENT) - 20)
    return repr(clip(text[place : place + 60]))


def answer(example: Example) -> str:
    """Show the answer."""
    return f"the answer is {clip(answer_of(example))!r}"
