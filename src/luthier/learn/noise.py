"""NEFTune: noise on the embeddings while a model learns (Jain et al. 2023, arXiv:2310.05914).

Letters: T tokens, D width, L tokens of the row a token is of.
"""

import math
from typing import Any

import torch
from torch import Tensor

from luthier.model.attention import row_now


def add_noise(model: Any, strength: float) -> None:
    """Add noise to a model's embeddings wherever gradients are made: uniform in +-strength / sqrt(L D) (algorithm 1).

    Drawn from torch's own generator, so that a resumed run draws what a straight one does.
    """

    def disturb(module: Any, inputs: tuple[Any, ...], embedded: Tensor) -> Tensor:
        if not torch.is_grad_enabled() or not model.training:
            return embedded
        lengths_T = _lengths(embedded.shape[-2])
        reach_T = strength / torch.sqrt(lengths_T * embedded.shape[-1])
        noise = torch.rand_like(embedded, dtype=torch.float32).mul_(2).sub_(1)
        return embedded + (noise * reach_T[:, None].to(embedded.device)).to(embedded.dtype)

    model.get_input_embeddings().register_forward_hook(disturb)


def _lengths(count: int) -> Tensor:
    """Give for each token the length of its row, (T,); what rows begin with alike counts as the mean of them."""
    row = row_now()
    if row is None:
        return torch.full((count,), float(count))
    lengths = torch.empty(count)
    for begin, end in row.spans:
        lengths[begin:end] = end - begin + row.prefix
    if row.prefix:
        lengths[: row.prefix] = math.fsum(end - begin + row.prefix for begin, end in row.spans) / len(row.spans)
    return lengths
