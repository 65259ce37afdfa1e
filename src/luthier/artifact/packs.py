"""Which examples share a row of the context length: a plan beside a split's tokens, never a copy of them.

`{split}.packs.safetensors` holds `order` (int64, N: examples by their place in the split, pack by pack) and `ends`
(int64, P + 1: where each pack begins and ends in `order`). An example stands in one pack, whole; nothing crosses it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from luthier.artifact.tokens import map_arrays

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Packs:
    """A packing plan. `order` has shape (N,), `ends` (P + 1,)."""

    order: Ints
    ends: Ints

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def rows(self) -> Iterator[Ints]:
        """Give each pack: the places of its examples in the split."""
        for begin, end in zip(self.ends[:-1], self.ends[1:], strict=True):
            yield self.order[begin:end]


def first_fit_decreasing(lengths: npt.NDArray[np.integer], room: int) -> Packs:
    """Put the longest first, each into the first row that still has room for it. `lengths` has shape (N,), in tokens.

    Examples of one length are placed together, which is the same: while one fits, the next of its length goes there.
    So the work is distinct lengths times open rows, not examples times rows. Within a pack the order is that of the
    split. At most 11/9 of the best packing, plus 6/9 of a row (Dosa 2007, doi:10.1007/978-3-540-74450-4_1).

    Raises ValueError if a length is longer than the room.
    """
    lengths = np.asarray(lengths, np.int64)
    if len(lengths) and int(lengths.max()) > room:
        raise ValueError(f"an example of {lengths.max()} tokens does not fit a row of {room}")
    falling = np.argsort(-lengths, kind="stable")
    distinct, counts = np.unique(lengths, return_counts=True)
    rows = _Rows(room, int(distinct[0]) if len(distinct) else 1)
    placed = [rows.place(int(length), int(count)) for length, count in zip(distinct[::-1], counts[::-1], strict=True)]
    row_of = np.zeros(len(lengths), np.int64)
    row_of[falling] = np.concatenate(placed) if placed else np.zeros(0, np.int64)
    ends = np.zeros(rows.count + 1, np.int64)
    np.cumsum(np.bincount(row_of, minlength=rows.count), out=ends[1:])
    return Packs(np.argsort(row_of, kind="stable"), ends)


class _Rows:
    """The rows that still have room for the shortest example, in the order in which they were opened."""

    def __init__(self, room: int, shortest: int) -> None:
        self.room, self.shortest, self.count = room, max(1, shortest), 0
        self._open = np.zeros(0, np.int64)
        self._left = np.zeros(0, np.int64)

    def place(self, length: int, count: int) -> Ints:
        """Give the row of each of `count` examples of one length, which fill the first rows first."""
        fitting = np.flatnonzero(self._left >= length)
        each = self._left[fitting] // max(1, length)
        before = np.cumsum(each) - each
        each = np.clip(count - before, 0, each)
        self._left[fitting] -= each * length
        found = np.repeat(self._open[fitting], each)
        return np.concatenate([found, self._opened(length, count - len(found))])

    def _opened(self, length: int, count: int) -> Ints:
        """Open as many rows as `count` more examples need."""
        per_row = self.room // max(1, length)
        new = -(-count // per_row)
        rows = np.arange(self.count, self.count + new)
        held = np.full(new, per_row)
        if new:
            held[-1] = count - per_row * (new - 1)
        self.count += new
        left = np.concatenate([self._left, self.room - held * length])
        keeps = left >= self.shortest
        self._open, self._left = np.concatenate([self._open, rows])[keeps], left[keeps]
        return np.repeat(rows, held)


def padding_share(lengths: npt.NDArray[np.integer], rows_per_batch: int = 8) -> float:
    """Give the share of padding if batches of so many rows, as they come, are padded to their longest."""
    if not len(lengths):
        return 0.0
    padded = np.zeros(-(-len(lengths) // rows_per_batch) * rows_per_batch, np.int64)
    padded[: len(lengths)] = lengths
    longest = padded.reshape(-1, rows_per_batch).max(axis=1)
    sizes = np.full(len(longest), rows_per_batch)
    sizes[-1] = len(lengths) - rows_per_batch * (len(longest) - 1)
    return 1 - float(np.sum(lengths)) / float(np.sum(longest * sizes))


def write_packs(folder: Path, split: str, packs: Packs) -> None:
    """Write a split's plan beside its tokens."""
    save_file({"order": packs.order, "ends": packs.ends}, folder / _name(split))


def read_packs(folder: Path, split: str) -> Packs:
    """Open a split's plan, mapped into memory."""
    arrays = map_arrays(folder / _name(split))
    return Packs(arrays["order"], arrays["ends"])


def has_packs(folder: Path, split: str) -> bool:
    """Whether a split has a plan."""
    return (folder / _name(split)).exists()


def _name(split: str) -> str:
    return f"{split}.packs.safetensors"
