"""Rows to be scored that differ in their last token alone: one reading serves them all."""

from collections.abc import Sequence

from luthier.artifact.tokens import Tokens


def find_twins(rows: Sequence[Tokens]) -> dict[int, list[int]]:
    """Give each row's index with those of later rows that differ in the last token alone, where it is all they ask."""
    found: dict[int, list[int]] = {}
    seen: dict[bytes, int] = {}
    for index, row in enumerate(rows):
        is_last = row.supervised == 1 and bool(row.mask[-1])
        first = seen.setdefault(row.ids[:-1].tobytes(), index) if is_last else index
        if first == index:
            found[index] = []
        else:
            found[first].append(index)
    return found
