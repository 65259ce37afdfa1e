"""Attention on a GPU: flash attention over documents of any length, torch's own kernel.

Not run where this was written, which has no GPU: `tests/model/test_attention_gpu.py` holds it to the CPU's results.
Letters: H query heads, K key/value heads, T tokens of the packed row, D head width.
"""

import torch
from torch import Tensor

from luthier.model.piece import Spans


def attend_varlen(
    query_HTD: Tensor, key_KTD: Tensor, value_KTD: Tensor, scale: float, spans: Spans, window: int
) -> Tensor:
    """Give the attended values, (T, H, D), causal within each document; half-precision tensors on a GPU."""
    from torch.nn.attention.varlen import varlen_attn  # on a machine without a GPU it need not load

    ends = torch.tensor([0, *(end for _, end in spans)], dtype=torch.int32, device=query_HTD.device)
    longest = max(end - begin for begin, end in spans)
    groups = query_HTD.shape[0] // key_KTD.shape[0]
    query, key, value = (tensor.transpose(0, 1) for tensor in (query_HTD, key_KTD, value_KTD))
    found = varlen_attn(
        query,
        key,
        value,
        ends,
        ends,
        longest,
        longest,
        scale=scale,
        window_size=(window - 1 if window else -1, 0),  # (-1, 0): causal
        enable_gqa=groups > 1,
    )
    assert isinstance(found, Tensor)  # a pair only where the log-sum-exp is asked for
    return found
