"""Classification: the confusion matrix, and what is read from it. L labels; N rows; S statistics."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from luthier.measure.metric import Floats, Outcome

NONE = "(none)"
"""The column of answers that name no label."""


def labels_of(outcome: Outcome) -> list[str]:
    """Give the labels: the task's, else those of the references."""
    return list(outcome.labels) or sorted({reference.strip() for reference in outcome.references})


def statistics(outcome: Outcome) -> Floats:
    """Give each row's own confusion matrix laid out flat, shape (N, L * (L + 1)): references down, answers across."""
    labels = labels_of(outcome)
    places = {label: place for place, label in enumerate(labels)}
    matrix_NLA = np.zeros((len(outcome.answers), len(labels), len(labels) + 1))
    for row, (answer, reference) in enumerate(zip(outcome.answers, outcome.references, strict=True)):
        matrix_NLA[row, places[reference.strip()], places.get(answer.strip(), len(labels))] = 1
    return matrix_NLA.reshape(len(outcome.answers), len(labels) * (len(labels) + 1))


def confusion(outcome: Outcome) -> dict[str, Any]:
    """Give the confusion matrix as plain JSON: {"labels": [...], "counts": rows of references by answers}."""
    matrix = _square(statistics(outcome).sum(axis=0))
    return {"labels": labels_of(outcome), "answers": [*labels_of(outcome), NONE], "counts": matrix.astype(int).tolist()}


def macro_f1(sums: Floats) -> Floats:
    """Give the mean over labels of their F1; a label that is neither wanted nor said is left out."""
    matrix = _square(sums)
    right = np.diagonal(matrix[..., :-1], axis1=-2, axis2=-1)
    either = matrix.sum(axis=-1) + matrix[..., :-1].sum(axis=-2)
    with np.errstate(invalid="ignore"):
        found: Floats = np.where(either > 0, 2 * right / either, 0).sum(axis=-1) / (either > 0).sum(axis=-1)
    return found


def kappa(sums: Floats) -> Floats:
    """Give Cohen's kappa: agreement beyond what two blind raters with these habits would reach.

    NaN where both always say one and the same label. Source: Cohen 1960, equation 1.
    """
    matrix = _square(sums)
    total = matrix.sum(axis=(-2, -1))
    right = np.diagonal(matrix[..., :-1], axis1=-2, axis2=-1).sum(axis=-1)
    by_chance = (matrix.sum(axis=-1) * matrix[..., :-1].sum(axis=-2)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = by_chance / total**2
        found: Floats = np.where(expected < 1, (right / total - expected) / (1 - expected), np.nan)
    return found


def _square(flat: Floats) -> Floats:
    """(..., L * (L + 1)) to (..., L, L + 1)."""
    count = round((np.sqrt(1 + 4 * flat.shape[-1]) - 1) / 2)
    return flat.reshape(*flat.shape[:-1], count, count + 1)


def unknown_references(references: Sequence[str], labels: Sequence[str]) -> list[str]:
    """Give the references that are none of the labels."""
    return [reference for reference in references if labels and reference.strip() not in labels]
