"""Which rows are asked: read, checked, grouped by tag, and cut down to the limits."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from luthier.artifact.example import Example, read_examples
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.engine.ports import prompt_of
from luthier.errors import DataError
from luthier.evaluate.question import Question
from luthier.event import Chose, Tell, Warned
from luthier.measure.task import HELDOUT

FEW = 4
"""So many tags have lines of their own, more are told together."""


def read_prepared(folder: Path, split: str) -> list[Question]:
    """Read a split's rows. Raises DataError if there are none, or if one has no reference to be judged by."""
    path = folder / f"{split}.jsonl"
    rows = list(zip(read_examples(folder, split), read_tokens(folder, split), strict=True))
    if not rows:
        raise DataError(
            f"the {split} split is empty: there is nothing to ask",
            where=str(path),
            mend=f"give prepare more rows, or a larger share for {split}",
        )
    for line, (example, _) in enumerate(rows, start=1):
        if example.task != "chat":
            raise DataError(
                f"the row's task is {example.task!r}: only chats can be asked",
                where=f"{path}:{line} (from {example.source})",
                mend="prepare questions with their answers, and give those (--data ID)",
            )
        if not example.reference.strip():
            raise DataError(
                f"the reference is {example.reference!r}: no answer can be judged by it",
                where=f"{path}:{line} (from {example.source})",
                mend="fill in the row's answer, or let prepare drop rows without one",
            )
    return [_question(*row) for row in rows]


def _question(example: Example, tokens: Tokens) -> Question:
    return Question(
        id=example.id,
        source=example.source,
        shown=example.shown,
        reference=example.reference,
        asked=next((turn.content for turn in reversed(example.prompt) if turn.role == "user"), ""),
        prompt=prompt_of(example),
        tokens=tokens,
        context="\n".join(message.content for message in example.prompt),
        label=example.tag,
        bound=example.group,
    )


def choose_rows(
    rows: Sequence[Question], limits: Mapping[str, int], seed: int, tell: Tell
) -> dict[str, list[Question]]:
    """Group rows by tag, those without one first, and keep of each at most the limit.

    Rows are kept by a hash of their content and the seed, so a row stays chosen when others come or go elsewhere.
    """
    tags = sorted({row.tag for row in rows}, key=lambda tag: (tag != HELDOUT, tag))
    if HELDOUT not in tags:
        tell(
            Warned(
                f"no row is without a tag (tags: {listed(tags)}): nothing here can decide a gate by itself",
                "hold out rows without a tag, or name the tag in the gate's rules (`all` is every row)",
            )
        )
    chosen = {}
    cut: dict[str, int] = {}
    for tag in tags:
        found = sorted((row for row in rows if row.tag == tag), key=lambda row: _draw(row.id, seed))
        chosen[tag] = found[: limits.get(tag)]
        if len(chosen[tag]) < len(found):
            cut[tag] = len(found)
    _tell_cut(cut, chosen, seed, tell)
    return chosen


def listed(names: Collection[str]) -> str:
    """Give names in a line that stays readable: the first ones, and how many more there are."""
    first = list(names)[:FEW]
    more = len(names) - len(first)
    return ", ".join(first) + (f" and {more} more" if more else "")


def _tell_cut(cut: Mapping[str, int], chosen: Mapping[str, Sequence[Question]], seed: int, tell: Tell) -> None:
    why = f"the limit, by content and seed {seed}"
    if len(cut) <= FEW:
        for tag, count in cut.items():
            tell(Chose(f"rows of {tag}", f"{len(chosen[tag])} of {count}", why))
    else:
        most = max(len(chosen[tag]) for tag in cut)
        kept = sum(len(chosen[tag]) for tag in cut)
        tell(Chose(f"rows of {listed(cut)}", f"{kept} of {sum(cut.values())}, at most {most} of each", why))


def _draw(name: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()
