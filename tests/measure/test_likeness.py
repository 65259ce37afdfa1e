"""Figures of likeness against torch's own KL and a hand calculation."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from luthier.measure.likeness import Likeness, first_divergence

RNG = np.random.default_rng(0)


def test_divergence_and_perplexity_are_those_of_torch() -> None:
    one, other = (RNG.normal(size=(150, 40)).astype(np.float32) * 3 for _ in range(2))
    targets = np.where(np.arange(150) % 3 == 0, -1, RNG.integers(0, 40, 150))
    likeness = Likeness()
    likeness.add(one[:100], other[:100], targets[:100])
    likeness.add(one[100:], other[100:], targets[100:])
    found = likeness.figures()
    p, q = (torch.from_numpy(part).double().log_softmax(1) for part in (one, other))
    wanted = kl_div(q, p, reduction="none", log_target=True).sum(1)
    assert found["kl"] == pytest.approx(wanted.mean().item(), rel=1e-9)
    assert found["max_kl"] == pytest.approx(wanted.max().item(), rel=1e-9)
    assert found["max_logit_difference"] == pytest.approx(float(np.abs(one - other).max()))
    loss = cross_entropy(torch.from_numpy(other).double(), torch.from_numpy(targets), ignore_index=-1)
    assert found["perplexity"] == pytest.approx(loss.exp().item(), rel=1e-9)
    assert found["agreement"] == (one.argmax(1) == other.argmax(1)).mean()


def test_a_choice_the_reference_holds_nearly_as_likely_agrees_nearly() -> None:
    reference = np.log(np.array([[0.50, 0.48, 0.02], [0.7, 0.2, 0.1]], np.float32))
    other = np.log(np.array([[0.48, 0.50, 0.02], [0.2, 0.7, 0.1]], np.float32))
    likeness = Likeness()
    likeness.add(reference, other, np.array([-1, -1]))
    found = likeness.figures()
    assert (found["agreement"], found["near_agreement"]) == (0.0, 0.5)
    assert math.isnan(found["perplexity"])


def test_a_wider_head_is_compared_where_both_have_ids() -> None:
    reference = RNG.normal(size=(4, 10)).astype(np.float32)
    padded = np.concatenate([reference, np.full((4, 6), -1e9, np.float32)], axis=1)
    likeness = Likeness()
    likeness.add(reference, padded, np.zeros(4, np.int64))
    assert likeness.figures()["kl"] == 0
    assert likeness.figures()["max_logit_difference"] == 0


def test_where_answers_part() -> None:
    assert first_divergence([[1, 2, 3], [4, 5]], [[1, 2, 3], [4, 5]]) == (None, 1.0)
    assert first_divergence([[1, 2, 3], [4, 5]], [[1, 9, 3], [4]]) == (1, 2 / 5)
