"""Our attention against torch's own, alone and packed."""

import pytest
import torch
from torch.nn import functional

from luthier.model import piece
from luthier.model.attention import _attend, documents, resumed, row_now

SPANS = ((0, 5), (5, 6), (6, 19))
SHARED = 4
"""With a prefix: tokens 0-3 begin each document of ((4, 9), (9, 10), (10, 19))."""
AFTER_SHARED = ((4, 9), (9, 10), (10, 19))


def _random(heads: int, keys: int, width: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = ((1, heads, 19, width), (1, keys, 19, width), (1, keys, 19, width))
    query, key, value = (torch.randn(shape, generator=generator, requires_grad=True) for shape in shapes)
    return query, key, value


def _torch_answer(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, cap: float | None
) -> torch.Tensor:
    if cap is None:
        found = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=True)
        return found.transpose(1, 2)
    groups = query.shape[1] // key.shape[1]
    key, value = (tensor.repeat_interleave(groups, 1) for tensor in (key, value))
    scores = cap * torch.tanh(query @ key.transpose(2, 3) * query.shape[-1] ** -0.5 / cap)
    weights = torch.softmax(scores.masked_fill(~mask, float("-inf")), -1)
    return (weights @ value).transpose(1, 2)


def _mask(window: int | None, prefix: int) -> torch.Tensor:
    """Who sees whom, written out: query by query, key by key."""
    mask = torch.zeros(19, 19, dtype=torch.bool)
    documents_ = [(0, prefix), *AFTER_SHARED] if prefix else list(SPANS)
    for begin, end in documents_:
        seen = [*range(prefix), *range(begin, end)] if begin >= prefix else list(range(begin, end))
        for query in range(begin, end):
            for key in seen:
                back = seen.index(query) - seen.index(key)
                mask[query, key] = back >= 0 and (window is None or back < window)
    return mask


@pytest.mark.parametrize(("heads", "keys"), [(4, 4), (6, 2), (4, 1)])
@pytest.mark.parametrize("window", [None, 3, 7, 64])
@pytest.mark.parametrize("prefix", [0, SHARED])
@pytest.mark.parametrize("block", [3, 128])
@pytest.mark.parametrize("cap", [None, 1.5])
def test_packed_attention_and_its_gradients_equal_torch_with_a_block_mask(
    heads: int,
    keys: int,
    window: int | None,
    prefix: int,
    block: int,
    cap: float | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(piece, "BLOCK", block)
    ours, theirs = _random(heads, keys), _random(heads, keys)
    with documents(AFTER_SHARED if prefix else SPANS, prefix):
        found, _ = _attend(None, *ours, None, sliding_window=window, softcap=cap)
    expected = _torch_answer(*theirs, _mask(window, prefix), cap)
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


@pytest.mark.parametrize("more", [{"s_aux": torch.zeros(4)}, {"dropout": 0.1}])
def test_what_it_does_not_compute_is_refused_not_left_out(more: dict[str, object]) -> None:
    with documents(SPANS), pytest.raises(NotImplementedError):
        _attend(None, *_random(4, 4), None, **more)  # type: ignore[arg-type]


def test_outside_of_a_row_nothing_is_attended() -> None:
    with pytest.raises(NotImplementedError, match="outside"):
        _attend(None, *_random(4, 4), None)


def test_a_row_can_be_taken_up_again_after_its_block() -> None:
    with documents(SPANS) as row:
        first, _ = _attend(None, *_random(4, 2), None)
    assert row_now() is None
    with resumed(row):
        again, _ = _attend(None, *_random(4, 2), None)
    assert torch.equal(first, again)
