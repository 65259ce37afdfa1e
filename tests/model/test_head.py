"""The head's loss against torch's cross-entropy over the whole table of logits."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from luthier.model import head as head_module
from luthier.model.head import head_loss


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 50 * 7, 2**20])
def test_loss_and_gradient_equal_cross_entropy_whatever_the_chunk(
    bias: bool, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "HEAD_CHUNK_BYTES", chunk_bytes)
    torch.manual_seed(0)
    head = nn.Linear(16, 50, bias=bias).requires_grad_(False)
    target = torch.randint(0, 50, (23,))
    ours = torch.randn(23, 16, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()
    found = head_loss(ours, head, target)
    expected = functional.cross_entropy(head(theirs), target, reduction="sum")
    torch.autograd.backward(found * 0.5)
    torch.autograd.backward(expected * 0.5)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-5, atol=1e-6)


def test_an_even_distribution_costs_log_of_the_vocabulary() -> None:
    head = nn.Linear(4, 1000, bias=False).requires_grad_(False)
    nn.init.zeros_(head.weight)
    loss = head_loss(torch.ones(3, 4), head, torch.tensor([0, 1, 999]))
    assert loss.item() == pytest.approx(3 * 6.907755, rel=1e-6)  # 3 ln 1000


def test_large_logits_do_not_overflow() -> None:
    head = nn.Linear(1, 2, bias=False).requires_grad_(False)
    head.weight.data = torch.tensor([[300.0], [-300.0]])
    loss = head_loss(torch.ones(2, 1), head, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx(600.0)


def test_nothing_to_predict_costs_nothing() -> None:
    head = nn.Linear(4, 10, bias=False).requires_grad_(False)
    assert head_loss(torch.zeros(0, 4), head, torch.zeros(0, dtype=torch.long)).item() == 0.0
