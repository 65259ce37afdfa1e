"""Log-probabilities against a plain forward pass of transformers in float64, row by row."""

from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, MistralConfig, MistralForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens
from luthier.engine.local import LocalModel, open_local
from luthier.engine.score import begin, log_likelihoods, shared_beginning
from luthier.errors import DataError
from luthier.event import Event, Progress


@pytest.fixture(scope="module")
def model(tiny_model: Artifact) -> LocalModel:
    return open_local(tiny_model.folder, name="tiny", dtype="float32", device="cpu")


def conversations(model: LocalModel) -> list[Tokens]:
    return [
        model.template.render(
            (Message("user", "你好 " * (number % 7)), Message("assistant", "fox 世界 " * (number + 1)))
        )
        for number in range(0, 50, 4)
    ]


def plainly(model: object, row: Tokens) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """Score one row with nothing but transformers and arithmetic."""
    assert callable(model)
    ids = torch.from_numpy(row.ids.astype(np.int64))
    with torch.inference_mode():
        likely = model(input_ids=ids[None]).logits[0].double().log_softmax(-1)
    found = [float(likely[place - 1, ids[place]]) for place in range(1, len(ids)) if row.mask[place]]
    return np.array(found)


def test_scores_are_those_of_a_plain_forward_pass(model: LocalModel, tiny_model: Artifact, told: list[Event]) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float64).eval()
    rows = conversations(model)
    scores = model.score(rows, told.append)
    for row, values in zip(rows, scores, strict=True):
        assert len(values) == row.supervised > 0
        assert np.allclose(values, plainly(theirs, row), atol=1e-4)
    assert told[-1] == Progress("scores", len(rows), len(rows), "rows")


def test_scores_of_an_adapter_are_those_of_a_plain_forward_pass(
    model: LocalModel, tiny_model: Artifact, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32),
        LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    ).eval()
    adapted.save_pretrained(tmp_path)
    tuned = open_local(tiny_model.folder, adapter=tmp_path, name="tuned", dtype="float32", device="cpu")
    rows = conversations(model)[:5]
    for row, values, before in zip(rows, tuned.score(rows), model.score(rows), strict=True):
        assert np.allclose(values, plainly(adapted, row), atol=1e-4)
        assert not np.allclose(values, before, atol=1e-2)


def test_a_model_of_another_kind_is_scored_too() -> None:
    torch.manual_seed(0)
    other = GPT2LMHeadModel(GPT2Config(vocab_size=60, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3)).eval()
    rows = [
        Tokens(np.arange(1, 9, dtype=np.int32), np.arange(8) > 3),
        Tokens(np.array([5, 4], np.int32), np.ones(2, bool)),
    ]
    for row, values in zip(rows, log_likelihoods(other, rows), strict=True):
        assert np.allclose(values, plainly(other, row), atol=1e-5)


def test_the_head_never_sees_an_unsupervised_position(model: LocalModel) -> None:
    rows = conversations(model)[:4]
    seen: list[int] = []
    hook = model.model.get_output_embeddings().register_forward_hook(
        lambda module, given, out: seen.append(out.numel() // out.shape[-1])
    )
    try:
        model.score(rows)
    finally:
        hook.remove()
    assert sum(seen) == sum(row.supervised for row in rows)


def test_a_row_that_learns_nothing_has_no_scores(model: LocalModel) -> None:
    row = Tokens(np.array([5, 6, 7], np.int32), np.array([True, False, False]))
    learning = conversations(model)[0]
    scores = model.score([row, learning])
    assert [len(values) for values in scores] == [0, learning.supervised]


@pytest.mark.parametrize(
    ("ids", "what", "mend"),
    [([5] * 600, "600 tokens, the model's context is 512", "at most 512"), ([5, 99_999], "99999", "own tokenizer")],
    ids=["long", "outside"],
)
def test_a_row_that_cannot_be_scored_is_refused(model: LocalModel, ids: list[int], what: str, mend: str) -> None:
    row = Tokens(np.array(ids, np.int32), np.ones(len(ids), np.bool_))
    with pytest.raises(DataError) as caught:
        model.score([row])
    assert what in caught.value.what
    assert "row 1" in caught.value.where
    assert mend in caught.value.mend


def test_rows_that_differ_in_their_last_token_alone_share_a_pass_and_score_the_same(model: LocalModel) -> None:
    last = np.array([False] * 4 + [True])
    rows = [Tokens(np.array([5, 6, 7, 8, token], np.int32), last) for token in (9, 10, 11)]
    rows.insert(1, Tokens(np.array([5, 6, 7, 9, 9], np.int32), last))  # another beginning
    rows.append(Tokens(np.array([5, 6, 7, 8, 9], np.int32), np.array([False, False, True, True, True])))
    passes: list[int] = []
    hook = model.model.get_output_embeddings().register_forward_hook(
        lambda module, given, out: passes.append(out.numel() // out.shape[-1])
    )
    try:
        scores = model.score(rows)
    finally:
        hook.remove()
    assert sum(passes) == 1 + 1 + 3
    for row, values in zip(rows, scores, strict=True):
        assert np.allclose(values, plainly(model.model, row), atol=1e-5)


def few_shot(model: LocalModel, shots: int) -> list[Tokens]:
    """Rows of uneven length behind the same solved examples; the last tokens of each are learned."""
    beginning = [5 + place % 40 for place in range(shots)]
    rows = []
    for number in range(9):
        ids = [*beginning, *range(6 + number, 6 + number + 4 + 5 * (number % 4))]
        mask = np.zeros(len(ids), np.bool_)
        mask[-1 - number % 3 :] = True
        rows.append(Tokens(np.array(ids, np.int32), mask))
    return rows


@pytest.mark.parametrize("kind", ["plain", "adapter"])
def test_what_all_rows_begin_with_is_computed_once_and_scores_the_same(
    kind: str, model: LocalModel, tiny_model: Artifact, tmp_path: Path
) -> None:
    asked = model
    if kind == "adapter":
        torch.manual_seed(0)
        plain = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32)
        config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
        get_peft_model(plain, config).save_pretrained(tmp_path)
        asked = open_local(tiny_model.folder, adapter=tmp_path, name="tuned", dtype="float32", device="cpu")
    rows = few_shot(model, 200)
    rows.insert(3, Tokens(np.array([7, 8, 9], np.int32), np.zeros(3, np.bool_)))  # learns nothing, begins otherwise
    assert shared_beginning(rows) == 200
    fed: list[int] = []
    hook = asked.model.get_input_embeddings().register_forward_hook(lambda module, given, out: fed.append(out.shape[1]))
    try:
        scores = asked.score(rows)
    finally:
        hook.remove()
    assert fed[0] == 200
    assert max(fed[1:]) < 30
    for row, values in zip(rows, scores, strict=True):
        assert np.allclose(values, plainly(asked.model, row), atol=1e-5)


def test_a_beginning_is_shared_where_it_saves_something(model: LocalModel) -> None:
    assert shared_beginning(few_shot(model, 30)) == 0
    assert shared_beginning(few_shot(model, 200)[:1]) == 0
    everything = [Tokens(row.ids, np.ones(len(row.ids), np.bool_)) for row in few_shot(model, 200)]
    assert shared_beginning(everything) == 0
    twins = [Tokens(np.full(100, 5, np.int32), np.arange(100) > 80)] * 2
    assert shared_beginning(twins) == 80  # the place that predicts the first learned token stays


def test_a_cache_of_another_kind_is_not_laid_before_rows() -> None:
    config = MistralConfig(
        vocab_size=60, hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, sliding_window=8,
    )  # fmt: skip
    assert begin(MistralForCausalLM(config).eval(), np.arange(20, dtype=np.int32)) is None
