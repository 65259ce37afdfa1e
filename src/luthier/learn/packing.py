"""Rows of tokens laid end to end in passes: never padded, what they begin with in common laid once.

Letters: N tokens of the pass, S supervised tokens.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from luthier.artifact.tokens import Tokens

SHORTEST_PREFIX = 16
"""Fewer common tokens than these cost more in pieces of attention than they save in layers."""


@dataclass(frozen=True)
class Pass:
    """Rows laid end to end."""

    ids: Tensor
    positions: Tensor
    """Of each token in its own row."""
    spans: tuple[tuple[int, int], ...]
    """(begin, end) of each row, without what all begin with."""
    prefix: int
    """How many tokens all rows begin with; they lie at the front, once."""
    before: Tensor
    """Where the token lies that predicts a supervised one."""
    target: Tensor
    """Ids of the supervised tokens."""
    weight: Tensor | None
    """How much each counts; None: 1."""
    row: Tensor
    """Which row it is of."""


def lay(rows: Sequence[Tokens], *, share: bool, device: torch.device | str = "cpu") -> Pass:
    """Lay rows end to end; `share`: what they begin with in common, and do not learn, is laid once."""
    prefix = common_prefix(rows) if share else 0
    lengths = [len(row.ids) - prefix for row in rows]
    ends = np.cumsum([prefix, *lengths]).tolist()
    spans = tuple(pairwise(ends))
    ids = np.concatenate([rows[0].ids[:prefix], *(row.ids[prefix:] for row in rows)])
    positions = np.concatenate([np.arange(prefix), *(prefix + np.arange(length) for length in lengths)])
    places = [_places(row) for row in rows]
    # a token is predicted from where the one before it lies; the first of a row's own tokens, from the prefix
    before = [
        np.where(place - 1 < prefix, place - 1, place - 1 - prefix + begin)
        for place, (begin, _) in zip(places, spans, strict=True)
    ]
    target = [row.ids[place] for row, place in zip(rows, places, strict=True)]
    index = [np.full(len(place), number) for number, place in enumerate(places)]
    return Pass(
        ids=_tensor(ids, device),
        positions=_tensor(positions, device),
        spans=spans,
        prefix=prefix,
        before=_tensor(np.concatenate(before), device),
        target=_tensor(np.concatenate(target), device),
        weight=_weights(rows, places, device),
        row=_tensor(np.concatenate(index), device),
    )


def common_prefix(rows: Sequence[Tokens]) -> int:
    """Give how many tokens all rows begin with, none of them learned; 0 if sharing them would not pay."""
    if len(rows) < 2:
        return 0
    length = min(len(row.ids) for row in rows) - 1  # each row keeps a token of its own
    first = rows[0].ids
    for row in rows:
        differs = np.flatnonzero((row.ids[:length] != first[:length]) | row.mask[:length])
        length = int(differs[0]) if len(differs) else length
    return length if length >= SHORTEST_PREFIX else 0


def fill(rows: Sequence[Tokens], tokens_per_pass: int) -> Iterator[Sequence[Tokens]]:
    """Cut rows into as few passes as hold `tokens_per_pass` each, about as long as each other, each row in one.

    The longest row goes first, into the emptiest pass (Graham 1969, doi:10.1137/0117039). A row longer than a pass
    has one of its own.
    """
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place].ids), place))
    count = max(1, -(-sum(len(row.ids) for row in rows) // tokens_per_pass))
    while rows:
        parts = _spread([len(rows[place].ids) for place in order], count)
        if all(len(part) < 2 or sum(len(rows[order[i]].ids) for i in part) <= tokens_per_pass for part in parts):
            yield from ([rows[order[place]] for place in part] for part in parts if part)
            return
        count += 1


def _spread(lengths: Sequence[int], count: int) -> list[list[int]]:
    parts: list[list[int]] = [[] for _ in range(count)]
    heap = [(0, number) for number in range(count)]
    for place, length in enumerate(lengths):
        filled, number = heapq.heappop(heap)
        parts[number].append(place)
        heapq.heappush(heap, (filled + length, number))
    return parts


def total_weight(rows: Sequence[Tokens]) -> float:
    """Give the sum of what the supervised tokens count."""
    return float(
        sum(row.supervised if row.weight is None else row.weight[_places(row)].sum(dtype=np.float64) for row in rows)
    )


def _places(row: Tokens) -> npt.NDArray[np.int64]:
    """Where supervised tokens lie; a row's first token is predicted from nothing, so its mask never counts."""
    return np.flatnonzero(row.mask[1:]) + 1


def _weights(
    rows: Sequence[Tokens], places: Sequence[npt.NDArray[np.int64]], device: torch.device | str
) -> Tensor | None:
    if all(row.weight is None for row in rows):
        return None
    weights = [
        np.ones(len(place), np.float32) if row.weight is None else row.weight[place]
        for row, place in zip(rows, places, strict=True)
    ]
    return torch.from_numpy(np.concatenate(weights)).to(device)


def _tensor(array: npt.NDArray[np.integer[npt.NBitBase]], device: torch.device | str) -> Tensor:
    return torch.from_numpy(array.astype(np.int64)).to(device)
