"""What is looked at beside the loss while a run goes on: general questions, answers to dev questions, classes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from luthier.artifact.example import Example, Message
from luthier.artifact.tokens import Tokens
from luthier.engine.draw import Draw
from luthier.engine.local import LocalModel
from luthier.engine.ports import Sampling
from luthier.errors import DataError
from luthier.learn.classify import Classified, Labelled
from luthier.learn.objective import Objective
from luthier.measure.metrics import token_f1
from luthier.model.template import Template

Look = Callable[[], Mapping[str, float]]
GENERAL = Path(__file__).with_name("general.yaml")
ANSWER_TOKENS = 128


def general(objective: Objective[Tokens], template: Template) -> Look:
    """Give the loss on a few general questions: before the first step the base's, since adapters begin as nothing."""
    pairs = yaml.safe_load(GENERAL.read_text(encoding="utf-8"))
    rows: list[Tokens] = []
    for question, answer in pairs:
        try:
            rows.append(template.render([Message("user", str(question)), Message("assistant", str(answer))]))
        except DataError:  # a template that refuses a plain question: then there is nothing to watch
            return dict

    def look() -> Mapping[str, float]:
        with torch.no_grad():
            total = sum(float(objective.loss(part)) for part in objective.passes(rows))
        return {"general_loss": total / objective.weight(rows)}

    return look


def answers(model: Any, template: Template, examples: Sequence[Example]) -> Look:
    """Give the word F1 of greedy answers to a few dev questions."""
    engine = LocalModel(model, template, name="the model in training", draw=Draw())

    def look() -> Mapping[str, float]:
        with _own_attention(model):
            found = engine.answer(
                [example.prompt for example in examples], Sampling(temperature=0.0, max_tokens=ANSWER_TOKENS)
            )
        scores = [token_f1(answer.text, example.reference) for answer, example in zip(found, examples, strict=True)]
        return {"word_f1": sum(scores) / len(scores)}

    return look


def classes(objective: Classified, rows: Sequence[Labelled]) -> Look:
    """Give accuracy and macro-F1 of dev texts, or for a number its mean absolute error."""

    def look() -> Mapping[str, float]:
        return class_figures(objective, rows)

    return look


def class_figures(objective: Classified, rows: Sequence[Labelled]) -> dict[str, float]:
    """Give accuracy and macro-F1 (each class's F1 counting alike), or the mean absolute error of a number.

    With several classes a text, accuracy is the share of texts with exactly the right ones.
    """
    scores_NC = objective.predict(rows)
    labels = np.asarray([row.label for row in rows])
    if objective.problem == "regression":
        return {"mean_absolute_error": float(np.abs(scores_NC[:, 0] - labels).mean())}
    if objective.problem == "single_label_classification":
        found = np.eye(scores_NC.shape[1], dtype=bool)[scores_NC.argmax(1)]
        wanted = np.eye(scores_NC.shape[1], dtype=bool)[labels]
    else:
        found, wanted = scores_NC > 0, labels > 0.5
    both, either = (found & wanted).sum(0), found.sum(0) + wanted.sum(0)
    f1_C = np.where(either > 0, 2 * both / np.maximum(either, 1), 0.0)
    is_there = wanted.any(0) | found.any(0)
    return {"accuracy": float((found == wanted).all(1).mean()), "macro_f1": float(f1_C[is_there].mean())}


@contextmanager
def _own_attention(model: Any) -> Iterator[None]:
    """Let the model attend in transformers' way while it answers."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    before, was_training = inner.config._attn_implementation, model.training
    inner.set_attn_implementation("sdpa" if inner._supports_sdpa else "eager")
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        inner.set_attn_implementation(before)
        model.train(was_training)


def together(*looks: Look) -> Look:
    """Take several looks as one."""

    def look() -> Mapping[str, float]:
        return {name: value for one in looks for name, value in one().items()}

    return look
