"""Looks beside the loss: class figures against scikit-learn's definition by hand, general questions, answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from luthier.artifact.example import Example, Message
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens
from luthier.event import hush
from luthier.learn.classify import Labelled, Problem
from luthier.learn.ways import supervised
from luthier.model.load import load_causal
from luthier.model.methods import Wishes, put_on
from luthier.model.template import open_template
from luthier.tune.watch import answers, class_figures, general, together

NONE = Tokens(np.zeros(1, np.int32), np.zeros(1, np.bool_))


@dataclass
class Fixed:
    """Gives scores that are set by hand."""

    problem: Problem
    scores: list[list[float]]

    def predict(self, rows: Sequence[Labelled]) -> Any:
        return np.asarray(self.scores)


def _figures(problem: Problem, scores: list[list[float]], labels: list[Any]) -> dict[str, float]:
    return class_figures(Fixed(problem, scores), [Labelled(NONE, label) for label in labels])  # type: ignore[arg-type]


def test_accuracy_and_macro_f1_of_one_class_a_text() -> None:
    # found 0 0 1 2, wanted 0 1 1 2: F1 of class 0 is 2/3, of 1 is 2/3, of 2 is 1
    scores = [[9.0, 0, 0], [9.0, 0, 0], [0, 9.0, 0], [0, 0, 9.0]]
    figures = _figures("single_label_classification", scores, [0, 1, 1, 2])
    assert figures["accuracy"] == 0.75
    assert figures["macro_f1"] == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_several_classes_a_text_count_as_right_only_together() -> None:
    scores = [[1.0, -1.0], [1.0, 1.0]]
    figures = _figures("multi_label_classification", scores, [(1.0, 0.0), (1.0, 0.0)])
    assert figures["accuracy"] == 0.5
    assert figures["macro_f1"] == pytest.approx((1.0 + 0.0) / 2)


def test_a_number_is_measured_by_its_mean_error() -> None:
    assert _figures("regression", [[1.0], [4.0]], [2.0, 2.0]) == {"mean_absolute_error": 1.5}


def test_general_loss_is_finite_and_answers_leave_the_model_as_it_was(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = put_on(model, "lora", Wishes(r=2, alpha=4), seed=0)
    adapted.train()
    template = open_template(tiny_model.folder)
    turns = (Message("user", "What is 1 plus 1?"), Message("assistant", "2"))
    probe = [template.render(turns)]
    objective = supervised(adapted.get_base_model(), probe, 1000, hush)
    before = float(objective.loss(probe).detach())
    look = together(general(objective, template), answers(adapted, template, [Example("a", turns, "rows.jsonl:1")]))
    figures = look()
    assert set(figures) == {"general_loss", "word_f1"}
    assert 0 < figures["general_loss"] < 20
    assert 0 <= figures["word_f1"] <= 1
    assert adapted.training
    assert float(objective.loss(probe).detach()) == before
