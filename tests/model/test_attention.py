"""Our attention against torch's own, alone and packed."""

import pytest
import torch
from torch.nn import functional

from luthier.model.attention import _attend, documents

SPANS = ((0, 5), (5, 6), (6, 19))


def _random(heads: int, keys: int, width: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((1, heads, 19, width), (1, keys, 19, width), (1, keys, 19, width))
    query, key, value = (torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes)
    return query, key, value


def _torch_answer(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    output = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
    return output.transpose(1, 2)


def _mask(window: int | None) -> torch.Tensor:
    mask = torch.zeros(19, 19, dtype=torch.bool)
    for begin, end in SPANS:
        for row in range(begin, end):
            first = begin if window is None else max(begin, row - window + 1)
            mask[row, first : row + 1] = True
    return mask


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize("window", [None, 3, 64])
def test_packed_attention_and_its_gradients_equal_torch_with_a_block_mask(
    heads: int, keys: int, window: int | None
) -> None:
    ours, theirs = _random(heads, keys), _random(heads, keys)
    with documents(SPANS):
        found, _ = _attend(None, *ours, None, sliding_window=window)
    expected = _torch_answer(*theirs, _mask(window))
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(4))
    torch.autograd.backward((found * weight).sum())
    torch.autograd.backward((expected * weight).sum())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our.grad, their.grad, rtol=1e-4, atol=1e-5)


def test_a_document_is_untouched_by_what_its_neighbours_hold() -> None:
    query, key, value = _random(4, 2)
    with documents(SPANS):
        before, _ = _attend(None, query, key, value, None)
        with torch.no_grad():
            key[:, :, 6:] += 100.0
            value[:, :, 6:] -= 100.0
        after, _ = _attend(None, query, key, value, None)
    assert torch.equal(before[:, :6], after[:, :6])
    assert not torch.equal(before[:, 6:], after[:, 6:])


@pytest.mark.parametrize("more", [{"softcap": 50.0}, {"s_aux": torch.zeros(4)}, {"dropout": 0.1}])
def test_what_it_does_not_compute_is_refused_not_left_out(more: dict[str, object]) -> None:
    with documents(SPANS), pytest.raises(NotImplementedError):
        _attend(None, *_random(4, 4), None, **more)  # type: ignore[arg-type]
