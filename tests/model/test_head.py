"""The head's loss and log-probabilities against torch's own, over the whole table of logits."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional
from transformers import CohereConfig, Gemma2Config, GraniteConfig, LlamaConfig

from luthier.model import head as head_module
from luthier.model.head import LogitForm, head_logprobs, head_loss, logit_form

FORMS = [LogitForm(), LogitForm(scale=0.25), LogitForm(scale=1.5, cap=2.0)]


def _head(*, bias: bool = False, trained: bool = False) -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(16, 50, bias=bias).requires_grad_(trained)


def _hidden(count: int = 23) -> torch.Tensor:
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(2), requires_grad=True)


def _targets(*shape: int) -> torch.Tensor:
    return torch.randint(0, 50, shape, generator=torch.Generator().manual_seed(3))


def _expected(hidden: torch.Tensor, head: nn.Module, form: LogitForm) -> torch.Tensor:
    logits: torch.Tensor = head(hidden) * form.scale
    return torch.log_softmax(logits if form.cap is None else form.cap * torch.tanh(logits / form.cap), -1)


def _gradients(head: nn.Module, hidden: torch.Tensor, loss: torch.Tensor) -> list[torch.Tensor]:
    wanted = [hidden, *(parameter for parameter in head.parameters() if parameter.requires_grad)]
    return list(torch.autograd.grad(loss, wanted))


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("chunk_bytes", [1, 4 * 50 * 7, 2**20])
def test_loss_and_gradients_equal_torchs_whatever_the_chunk(
    chunk_bytes: int, form: LogitForm, bias: bool, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "CHUNK_BYTES", {"cpu": chunk_bytes})
    monkeypatch.setattr(head_module, "BLOCK_BYTES", {"cpu": 4 * 50 * 3})
    head, hidden, target = _head(bias=bias, trained=trained), _hidden(), _targets(23)
    weight = torch.rand(23, generator=torch.Generator().manual_seed(4))
    found = head_loss(hidden, head, target, weight, form) * 0.5
    expected = -(_expected(hidden, head, form).gather(1, target[:, None])[:, 0] @ weight) * 0.5
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
    for our, their in zip(_gradients(head, hidden, found), _gradients(head, hidden, expected), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(23,), (23, 4)])
def test_log_probabilities_take_any_gradient_for_each_token(
    shape: tuple[int, ...], form: LogitForm, trained: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head_module, "CHUNK_BYTES", {"cpu": 4 * 50 * 7})
    head, hidden, target = _head(bias=True, trained=trained), _hidden(), _targets(*shape)
    found = head_logprobs(hidden, head, target, form)
    expected = _expected(hidden, head, form).gather(1, target.view(23, -1)).view(shape)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    # a preference loss: some tokens up, some down, each by another amount that itself depends on the values
    ours, theirs = (functional.logsigmoid(each.view(23, -1).sum(1) - 3).square().sum() for each in (found, expected))
    for our, their in zip(_gradients(head, hidden, ours), _gradients(head, hidden, theirs), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5)


def test_a_head_that_is_no_plain_linear_is_called_and_gets_its_gradients() -> None:
    class Adapted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.more = _head(), nn.Parameter(torch.ones(50))

        def forward(self, hidden: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = self.inner(hidden) * self.more
            return found

    head, hidden, target = Adapted(), _hidden(), _targets(23)
    found = head_loss(hidden, head, target)
    expected = functional.cross_entropy(head(hidden), target, reduction="sum")
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-5)
    for our, their in zip(_gradients(head, hidden, found), _gradients(head, hidden, expected), strict=True):
        torch.testing.assert_close(our, their, rtol=1e-4, atol=1e-5)


def test_bfloat16_stays_within_its_rounding_of_float32() -> None:
    head, hidden, target = _head(), _hidden(), _targets(23)
    exact = head_loss(hidden, head, target)
    found = head_loss(hidden.bfloat16(), head.bfloat16(), target)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx(exact.item(), rel=4e-3)


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
    nothing = torch.zeros(0, dtype=torch.long)
    assert head_loss(torch.zeros(0, 4), head, nothing).item() == 0.0
    assert head_logprobs(torch.zeros(0, 4), head, nothing).shape == (0,)


def test_the_whole_table_of_logits_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    soften = head_module._soften

    def watch(logits: torch.Tensor, *more: Any) -> torch.Tensor:
        seen.append(logits.numel())
        return soften(logits, *more)

    monkeypatch.setattr(head_module, "_soften", watch)
    monkeypatch.setattr(head_module, "CHUNK_BYTES", {"cpu": 4 * 50 * 5})
    head_loss(_hidden(), _head(), _targets(23))
    assert seen == [250, 250, 250, 250, 150]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (LlamaConfig(), LogitForm()),
        (Gemma2Config(), LogitForm(cap=30.0)),
        (CohereConfig(), LogitForm(scale=0.0625)),
        (GraniteConfig(logits_scaling=8.0), LogitForm(scale=0.125)),
    ],
)
def test_what_a_model_does_to_its_logits_is_read_from_its_config(config: Any, expected: LogitForm) -> None:
    assert logit_form(config) == expected
    assert logit_form(SimpleNamespace(get_text_config=lambda: config)) == expected
