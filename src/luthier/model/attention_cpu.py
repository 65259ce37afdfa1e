"""Attention by batched matrix products and softmax, the weights kept for backward.

On a CPU its backward is 2 to 6 times as fast as flash attention's at 80-512 tokens. It runs on any device.
Letters: K key/value heads, G query heads of each, T tokens of the packed row, N = queries * G, M keys, D head width.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from luthier.model.piece import Piece, Pieces


def _keys(whole_KTD: Tensor, piece: Piece) -> Tensor:
    """The keys (or values) of a piece, (K, M, D)."""
    own = whole_KTD[:, slice(*piece.own)]
    if piece.shared[0] == piece.shared[1]:
        return own
    return torch.cat((whole_KTD[:, slice(*piece.shared)], own), 1)


def _add(whole_KTD: Tensor, piece: Piece, part_KMD: Tensor) -> None:
    """Add what a piece found for its keys."""
    shared = piece.shared[1] - piece.shared[0]
    if piece.is_alone:
        whole_KTD[:, slice(*piece.own)] = part_KMD
        return
    if shared:
        whole_KTD[:, slice(*piece.shared)] += part_KMD[:, :shared]
    whole_KTD[:, slice(*piece.own)] += part_KMD[:, shared:]


def _product(one: Tensor, other: Tensor, scale: float) -> Tensor:
    """scale * one @ other, rounded once."""
    return torch.baddbmm(one.new_empty(1, 1, 1), one, other, beta=0, alpha=scale)


def _weights(query_KNG: Tensor, key_KMD: Tensor, piece: Piece, scale: float, cap: float | None) -> list[Tensor]:
    """Give softmax of the scores, (K, N, M), and with a cap the tanh of them."""
    scores = _product(query_KNG, key_KMD.transpose(1, 2), scale)
    kept = []
    if cap is not None:
        tanh = torch.tanh(scores.float() / cap)
        scores = (tanh * cap).to(scores.dtype)
        kept = [tanh.to(scores.dtype)]
    mask = piece.mask(scores)
    # rows go query by query, the heads of a group side by side
    seen = scores.view(len(scores), len(mask), -1, scores.shape[2])[..., scores.shape[2] - mask.shape[1] :]
    seen.add_(mask[:, None, :])
    return [torch.softmax(scores, -1, dtype=torch.float32).to(scores.dtype), *kept]


def _grouped(tensor_HTD: Tensor, heads: int) -> Tensor:
    """(H, T, D) as (K, T, G, D) in memory: a document's part of it is one matrix for each key head."""
    _, length, width = tensor_HTD.shape
    return tensor_HTD.reshape(heads, -1, length, width).transpose(1, 2).contiguous()


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query_HTD: Tensor,
        key_KTD: Tensor,
        value_KTD: Tensor,
        scale: float,
        cap: float | None,
        pieces: Pieces,
    ) -> Tensor:
        heads, length, _ = key_KTD.shape
        query, key, value = _grouped(query_HTD, heads), key_KTD.contiguous(), value_KTD.contiguous()
        output = query.new_empty(*query.shape[:3], value.shape[-1])
        kept: list[Tensor] = []
        for piece in pieces:
            place = slice(piece.begin, piece.end)
            weights, *more = _weights(query[:, place].flatten(1, 2), _keys(key, piece), piece, scale, cap)
            output[:, place] = torch.bmm(weights, _keys(value, piece)).view_as(output[:, place])
            kept += [weights, *more]
        ctx.save_for_backward(query, key, value, *kept)
        ctx.scale, ctx.cap, ctx.pieces = scale, cap, pieces
        return output.transpose(0, 1).reshape(length, -1, value.shape[-1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_THD: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, *kept = ctx.saved_tensors
        heads, length, groups, width = query.shape
        grad = _grouped(grad_THD.transpose(0, 1), heads)
        found_query = torch.empty_like(query)
        # float32: a key's gradient is the sum of what several blocks and documents find
        is_shared = any(not piece.is_alone for piece in ctx.pieces)
        dtype = torch.float32 if is_shared else key.dtype
        found_key, found_value = torch.zeros_like(key, dtype=dtype), torch.zeros_like(value, dtype=dtype)
        for piece in ctx.pieces:
            weights, tanh = kept.pop(0), kept.pop(0) if ctx.cap is not None else None
            place = slice(piece.begin, piece.end)
            part = grad[:, place].flatten(1, 2)
            _add(found_value, piece, torch.bmm(weights.transpose(1, 2), part))
            grad_weights = torch.bmm(part, _keys(value, piece).transpose(1, 2))
            scores = torch._softmax_backward_data(grad_weights, weights, -1, weights.dtype)
            if tanh is not None:
                scores = scores * (1 - tanh.float().square()).to(scores.dtype)
            found_query[:, place] = _product(scores, _keys(key, piece), ctx.scale).view_as(found_query[:, place])
            _add(found_key, piece, _product(scores.transpose(1, 2), query[:, place].flatten(1, 2), ctx.scale))
        by_head = found_query.transpose(1, 2).reshape(heads * groups, length, width)
        return by_head, found_key.to(key.dtype), found_value.to(value.dtype), None, None, None


def attend_by_products(
    query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, scale: float, cap: float | None, pieces: Pieces
) -> Tensor:
    """Give the attended values, (T, H, D); `cap` bounds scores by cap * tanh(score / cap) (Gemma 2)."""
    found: Tensor = _Products.apply(query_HTD, key_KTD, value_KTD, scale, cap, pieces)  # type: ignore[no-untyped-call]
    return found
