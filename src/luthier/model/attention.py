"""Attention for packed rows: each document sees itself alone, and no padding is ever computed.

Registered as `luthier_documents` in transformers' attention interface: every architecture that asks it is served.
Letters: H query heads, K key/value heads, G = H / K, T tokens of the packed row, D head width.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface

from luthier.model.attention_cpu import attend_by_products
from luthier.model.attention_gpu import attend_varlen
from luthier.model.piece import Pieces, Spans, cut

NAME = "luthier_documents"


@dataclass
class Packed:
    """A packed row while it is computed."""

    spans: Spans
    prefix: int
    pieces: dict[int, Pieces]
    """How the row is cut for each sliding window (0: none)."""
    rows: Tensor | None = None
    """The places whose hidden states are wanted, (S,); None: all."""
    is_narrow: bool = False
    """Whether a layer computed those alone."""
    calls: int = 0
    """How many layers have attended by it."""

    def cut(self, window: int) -> Pieces:
        """Give the pieces for a window, cut once for all layers."""
        if window not in self.pieces:
            self.pieces[window] = cut(self.spans, self.prefix, window)
        return self.pieces[window]


_packed: list[Packed | None] = []
"""The row being computed. The interface's functions are global, so this is too."""


@contextmanager
def documents(spans: Sequence[tuple[int, int]], prefix: int = 0, rows: Tensor | None = None) -> Iterator[Packed]:
    """Tell attention where the documents of the row lie while the block runs (backward reads its own copy).

    The first `prefix` tokens of the row begin every document: they are computed once, and each document sees them
    before its own. `spans` are what follows them. `rows` are the places whose last hidden states are wanted: a layer
    that `narrow_last` prepared computes no others.
    """
    row = Packed(tuple(spans), prefix, {}, rows)
    with resumed(row):
        yield row


@contextmanager
def resumed(row: Packed | None) -> Iterator[None]:
    """Take a row up again while the block runs."""
    _packed.append(row)
    try:
        yield
    finally:
        _packed.pop()


def row_now() -> Packed | None:
    """Give the packed row that is being computed, if one is."""
    return _packed[-1] if _packed else None


Attend = Callable[[Tensor, Tensor, Tensor, float, float | None, Packed, int], Tensor]
"""(query (H, T, D), key (K, T, D), value (K, T, D), scale, softcap, row, window) -> (T, H, D)."""


def _by_products(
    query: Tensor, key: Tensor, value: Tensor, scale: float, cap: float | None, row: Packed, window: int
) -> Tensor:
    return attend_by_products(query, key, value, scale, cap, row.cut(window))


def _by_varlen(
    query: Tensor, key: Tensor, value: Tensor, scale: float, cap: float | None, row: Packed, window: int
) -> Tensor:
    if cap is not None or row.prefix or query.dtype == torch.float32:
        return _by_products(query, key, value, scale, cap, row, window)
    return attend_varlen(query, key, value, scale, row.spans, window)


BY_DEVICE: dict[str, Attend] = {"cuda": _by_varlen}
"""How documents attend on each kind of device; by matrix products where none is named."""


def _attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **more: Any,
) -> tuple[Tensor, None]:
    """Attend in transformers' form: (1, H, T, D) in, (1, T, H, D) out."""
    if more.get("s_aux") is not None:
        raise NotImplementedError("attention with s_aux")  # the caller then trains one example at a time
    if dropout:
        raise NotImplementedError("attention dropout")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    row = row_now()
    if row is None:
        raise NotImplementedError("attention outside of documents(...)")
    row.calls += 1
    attend = BY_DEVICE.get(query.device.type, _by_products)
    return attend(query[0], key[0], value[0], scale, softcap, row, sliding_window or 0)[None], None


AttentionInterface.register(NAME, torch.compiler.disable(_attend))  # type: ignore[no-untyped-call]
