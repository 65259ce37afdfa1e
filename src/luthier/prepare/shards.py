"""Rendered rows on their way: one file for each batch of work, written by a worker, read when rows are chosen.

A file is six int64 (rows, bytes of JSON, tokens, tokens of worse answers, whether tokens have weights, 0), then for
each row the bytes of its line and its two numbers of tokens (int64), then the lines, ids, mask and weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.atomic import no_room
from luthier.artifact.tokens import Tokens

Ints = npt.NDArray[np.int64]
NOTHING = Tokens(np.zeros(0, np.int32), np.zeros(0, np.bool_))


@dataclass(frozen=True)
class Rendered:
    """One row as it is stored: its line of JSON, and its tokens; of a preference pair, both answers' tokens."""

    line: bytes
    tokens: Tokens
    rejected: Tokens = NOTHING


@dataclass(frozen=True)
class Side:
    """The tokens of one side of all rows, one row after the other; `begins` has shape (rows + 1,)."""

    begins: Ints
    ids: npt.NDArray[np.int32]
    mask: npt.NDArray[np.uint8]
    weight: npt.NDArray[np.float32] | None

    def block(self, numbers: Ints) -> Tokens:
        """Give the tokens of some rows as one: they lie one after the other."""
        places = _spans(self.begins, numbers)
        weight = None if self.weight is None else self.weight[places]
        return Tokens(self.ids[places], self.mask[places].view(np.bool_), weight)


@dataclass(frozen=True)
class Shard:
    """One file, read."""

    line_begins: Ints
    lines: bytes
    chosen: Side
    rejected: Side

    def line(self, number: int) -> bytes:
        """Give a row's line of JSON."""
        return self.lines[self.line_begins[number] : self.line_begins[number + 1]]


def write_shard(path: Path, rows: Sequence[Rendered]) -> None:
    """Write a batch's rows. Raises RoomError if the disk is full."""
    sides = [[row.tokens for row in rows], [row.rejected for row in rows]]
    weighted = any(tokens.weight is not None for side in sides for tokens in side)
    sizes = [(len(row.line), len(row.tokens.ids), len(row.rejected.ids)) for row in rows]
    lengths = np.array(sizes, np.int64).reshape(-1, 3)
    head = np.array([len(rows), *lengths.sum(axis=0), weighted, 0], np.int64)
    with no_room(path), path.open("wb") as file:
        file.write(head.tobytes())
        file.write(lengths.tobytes())
        file.write(b"".join(row.line for row in rows))
        for side in sides:
            file.write(b"".join([np.asarray(tokens.ids, "<i4").tobytes() for tokens in side]))
            file.write(b"".join([np.asarray(tokens.mask, "u1").tobytes() for tokens in side]))
            if weighted:
                file.write(b"".join([_weight(tokens).tobytes() for tokens in side]))


def _weight(tokens: Tokens) -> npt.NDArray[np.float32]:
    found = np.ones(len(tokens.ids), "<f4") if tokens.weight is None else tokens.weight
    return np.asarray(found, "<f4")


def read_shard(path: Path) -> Shard:
    """Read a batch's rows."""
    data = path.read_bytes()
    count, lines, tokens, rejected, weighted, _ = np.frombuffer(data, np.int64, 6).tolist()
    lengths = np.frombuffer(data, np.int64, 3 * count, 48).reshape(-1, 3)
    begins = np.zeros((count + 1, 3), np.int64)
    np.cumsum(lengths, axis=0, out=begins[1:])
    place = 48 + 24 * count
    text = data[place : place + lines]
    place += lines
    sides = []
    for column, total in ((1, tokens), (2, rejected)):
        arrays: list[npt.NDArray[Any]] = []
        for kind in ("<i4", "u1", "<f4")[: 2 + weighted]:
            arrays.append(np.frombuffer(data, kind, total, place))
            place += arrays[-1].nbytes
        sides.append(Side(begins[:, column], arrays[0], arrays[1], arrays[2] if weighted else None))
    return Shard(begins[:, 0], text, sides[0], sides[1])


def _spans(begins: Ints, numbers: Ints) -> Ints:
    """Give the places of some rows' tokens: `begins[n] : begins[n + 1]` of each, joined."""
    lengths = begins[numbers + 1] - begins[numbers]
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total) + np.repeat(begins[numbers] - (ends - lengths), lengths)
    return places
