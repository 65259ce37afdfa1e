"""What is done to logits before a token is drawn: as transformers' own processors do it, or by hand."""

import math

import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinNewTokensLengthLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
)

from luthier.engine.draw import Draw
from luthier.engine.logits import adjust, likely, without

LOGITS = torch.randn(50, generator=torch.Generator().manual_seed(1)) * 3
PROMPT, SAID = (4, 9, 9), (7, 12, 7, 7)


def theirs(*processors: object) -> torch.Tensor:
    scores: torch.Tensor = LogitsProcessorList(list(processors))(torch.tensor([[*PROMPT, *SAID]]), LOGITS[None].clone())
    return scores[0]


def test_bias_and_repetition_penalty_are_those_of_transformers_in_their_order() -> None:
    draw = Draw(repetition_penalty=1.7, logit_bias=((7, 2.5), (30, -4.0), (9, 0.5)))
    processed = theirs(
        SequenceBiasLogitsProcessor([[[7], 2.5], [[30], -4.0], [[9], 0.5]]), RepetitionPenaltyLogitsProcessor(1.7)
    )
    assert torch.allclose(adjust(LOGITS, draw, PROMPT, SAID), processed)
    assert not torch.allclose(LOGITS, processed)


def test_frequency_counts_what_was_said_and_presence_counts_once() -> None:
    changed = LOGITS - adjust(LOGITS, Draw(frequency_penalty=0.5, presence_penalty=0.25), PROMPT, SAID)
    by_hand = torch.zeros(50)
    by_hand[7] = 3 * 0.5 + 0.25  # said three times
    by_hand[12] = 0.5 + 0.25
    assert torch.allclose(changed, by_hand, atol=1e-6)  # 4 and 9 stand in the prompt only


def test_nothing_asked_changes_nothing() -> None:
    assert adjust(LOGITS, Draw(), PROMPT, SAID) is LOGITS


def test_no_early_end_is_that_of_transformers() -> None:
    processed = theirs(MinNewTokensLengthLogitsProcessor(len(PROMPT), len(SAID) + 1, [2, 3]))
    assert torch.equal(without(LOGITS, [3, 2]), processed)


def test_an_end_that_is_all_that_is_allowed_stays() -> None:
    only = torch.full((50,), -torch.inf).index_fill(0, torch.tensor([2]), 0.0)
    assert torch.equal(without(only, [2]), only)


@pytest.mark.parametrize("top", [0, 3, 80])
def test_log_probabilities_are_those_of_a_log_softmax(top: int) -> None:
    truth = LOGITS.double().log_softmax(-1)
    found = likely(LOGITS, 17, top)
    assert math.isclose(found.logprob, truth[17].item(), abs_tol=1e-5)
    assert [token_id for token_id, _ in found.top] == truth.argsort(descending=True)[:top].tolist()
    assert all(math.isclose(value, truth[token_id].item(), abs_tol=1e-5) for token_id, value in found.top)


def test_what_was_ruled_out_is_not_among_the_likeliest() -> None:
    found = likely(without(LOGITS, [int(LOGITS.argmax())]), 17, 50)
    assert len(found.top) == 49
    assert math.isclose(sum(math.exp(value) for _, value in found.top), 1.0, abs_tol=1e-5)
