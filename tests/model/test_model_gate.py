"""The gated product against torch's own gradient, and what it keeps."""

import torch
from torch.nn import functional

from luthier.model.gate import _Gated


def test_the_gated_product_and_its_gradients_equal_torchs_with_half_as_much_kept() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(5, 7, requires_grad=True) for _ in range(2)]
    theirs = [tensor.detach().clone().requires_grad_() for tensor in ours]
    kept: list[int] = []

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        found = _Gated.apply(*ours)  # type: ignore[no-untyped-call]
    expected = functional.silu(theirs[0]) * theirs[1]
    weight = torch.randn(5, 7)
    torch.autograd.backward((found * weight).sum())
    torch.autograd.backward((expected * weight).sum())
    torch.testing.assert_close(found, expected)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad)
    assert sum(kept) == 2 * 35
