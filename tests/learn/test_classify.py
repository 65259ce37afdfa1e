"""Classes and numbers: the loss is transformers' own, text by text; packed equals one by one; it learns."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import make_model

from luthier.artifact.tokens import Tokens
from luthier.event import Chose, Event, hush
from luthier.learn.classify import Classified, Labelled, Problem, classified
from luthier.model.load import load_classifier
from luthier.model.methods import Wishes, put_on


def _tokens(*ids: int) -> Tokens:
    return Tokens(np.asarray(ids, np.int32), np.zeros(len(ids), np.bool_))


ROWS: dict[Problem, list[Labelled]] = {
    "single_label_classification": [Labelled(_tokens(5, 6, 7), 2), Labelled(_tokens(9, 8, 7, 6, 5), 0)],
    "multi_label_classification": [Labelled(_tokens(5, 6, 7), (1, 0, 1)), Labelled(_tokens(9, 8, 7, 6), (0, 0, 1))],
    "regression": [Labelled(_tokens(5, 6, 7), 0.25), Labelled(_tokens(9, 8, 7, 6, 5), -3.0)],
}


def _open(folder: Path, problem: Problem) -> Any:
    outputs = 1 if problem == "regression" else 3
    return load_classifier(folder, outputs=outputs, problem=problem, dtype="float32", device="cpu", seed=3)


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen2", "qwen3", "mistral", "gemma", "bloom"])
@pytest.mark.parametrize("problem", list(ROWS))
def test_the_loss_is_transformers_own_text_by_text(name: str, problem: Problem, tmp_path: Path) -> None:
    make_model(name, tmp_path)
    model = _open(tmp_path, problem)
    objective = classified(model, ROWS[problem], problem, 100, "auto", hush)
    found = objective.losses(ROWS[problem]).detach()
    model.set_attn_implementation("eager")
    model.config.pad_token_id = 0
    for row, loss in zip(ROWS[problem], found, strict=True):
        kind = torch.long if problem == "single_label_classification" else torch.float
        labels = torch.tensor([row.label], dtype=kind)
        expected = model(input_ids=torch.tensor(row.tokens.ids[None], dtype=torch.long), labels=labels).loss
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-4, atol=1e-5)


def test_packing_is_found_by_trying_and_told(tmp_path: Path) -> None:
    make_model("llama", tmp_path)
    told: list[Event] = []
    rows = ROWS["regression"]
    objective = classified(_open(tmp_path, "regression"), rows, "regression", 100, "auto", told.append)
    assert objective.packed
    assert isinstance(told[0], Chose)
    assert told[0].value == "packed"
    assert len(list(objective.passes(rows * 40))) == 4  # 320 tokens, 100 a pass, texts whole
    assert not classified(_open(tmp_path, "regression"), rows, "regression", 100, "never", hush).packed


def test_an_adapter_and_the_new_head_learn_classes(tmp_path: Path) -> None:
    make_model("llama", tmp_path)
    model = _open(tmp_path, "single_label_classification")
    adapted = put_on(model, "lora", Wishes(r=4, alpha=8, task="SEQ_CLS"), seed=0)
    trained = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    assert any("score" in name for name in trained)
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(48):  # the class is the kind of the third token from the end
        label = int(rng.integers(3))
        rows.append(Labelled(_tokens(*rng.integers(20, 200, 5).tolist(), 300 + label, 7, 9), label))
    objective = Classified(adapted.get_base_model(), "single_label_classification", False, 1000)
    objective = classified(objective.model, rows, objective.problem, 1000, "auto", hush)
    optimizer = torch.optim.AdamW(trained.values(), lr=5e-3)
    for _ in range(40):
        torch.autograd.backward(objective.loss(rows) / len(rows))
        optimizer.step()
        optimizer.zero_grad()
    labels = np.asarray([row.label for row in rows])
    assert (objective.predict(rows).argmax(1) == labels).mean() > 0.95


def test_the_new_head_is_drawn_from_the_seed(tmp_path: Path) -> None:
    make_model("llama", tmp_path)
    one, same = (_open(tmp_path, "regression") for _ in range(2))
    assert torch.equal(one.score.weight, same.score.weight)
    other = load_classifier(tmp_path, outputs=1, problem="regression", dtype="float32", device="cpu", seed=4)
    assert not torch.equal(one.score.weight, other.score.weight)
