"""How a packed row is cut for attention: blocks of queries, and the keys each may see."""

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

Spans = tuple[tuple[int, int], ...]
"""(begin, end) of each document in the packed row, in tokens."""
BLOCK = 128
"""Queries of a block: small enough that few scores are computed only to be hidden, large enough to be fast."""


@dataclass(frozen=True)
class Piece:
    """A block of one document's queries, and the keys that some of them see, by their places in the packed row."""

    begin: int
    end: int
    """The queries."""
    shared: tuple[int, int]
    """Keys of the shared prefix."""
    own: tuple[int, int]
    """Keys of the document itself."""
    window: int
    before: int
    """How many keys come before the key of the first query."""

    @property
    def is_alone(self) -> bool:
        """Whether no other piece has these keys: their gradients need not be added up."""
        return self.shared[0] == self.shared[1] and self.own == (self.begin, self.end)

    def mask(self, like: Tensor) -> Tensor:
        """What is added to scores, (queries, the last keys): -inf where a query must not see a key, else 0."""
        return _mask(self.end - self.begin, self.before if self.window else 0, self.window, like.dtype, like.device)


Pieces = tuple[Piece, ...]


@lru_cache(512)
def _mask(queries: int, before: int, window: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Without a window it is the same for every block of a size: only its own keys can be hidden."""
    ones = torch.ones(queries, before + queries, dtype=torch.bool, device=device)
    hidden = ones.triu(1 + before) | ones.tril(before - window) if window else ones.triu(1)
    return torch.zeros(hidden.shape, dtype=dtype, device=device).masked_fill_(hidden, float("-inf"))


def cut(spans: Spans, prefix: int, window: int) -> Pieces:
    """Cut a row: its first `prefix` tokens, which every document of `spans` sees before itself, then the documents."""
    pieces = _cut_document(0, prefix, 0, window)
    for begin, end in spans:
        pieces += _cut_document(begin, end, prefix, window)
    return tuple(pieces)


def _cut_document(begin: int, end: int, prefix: int, window: int) -> list[Piece]:
    pieces = []
    count = max(1, round((end - begin) / BLOCK)) if end > begin else 0
    ends = [begin + (end - begin) * number // count for number in range(1, count + 1)]
    for first, last in zip([begin, *ends], ends, strict=False):
        # the first key that the block's first query sees, counted from the document's first token, prefix included
        oldest = max(0, prefix + first - begin - window + 1) if window else 0
        shared = (min(oldest, prefix), prefix)
        own = (begin + max(0, oldest - prefix), last)
        before = shared[1] - shared[0] + first - own[0]
        pieces.append(
            Piece(first, last, shared, own, window if window and before + last - first > window else 0, before)
        )
    return pieces
