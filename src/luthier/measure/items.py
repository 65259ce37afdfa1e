"""Extraction: an answer and its reference are JSON, and both are taken for bags of facts.

A list of lists of plain values is a bag of triples (or of pairs, ...); an object is a bag of its values, each with the
keys that lead to it. The order of lists counts nowhere; white space at the ends and case count nowhere either.
"""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from luthier.measure.metric import Floats, Outcome, ratio


def facts(text: str) -> Counter[tuple[str, ...]]:
    """Give the facts of a JSON text; a text that is no JSON holds none."""
    try:
        return Counter(_facts(json.loads(text), ()))
    except (ValueError, RecursionError):
        return Counter()


def statistics(outcome: Outcome) -> Floats:
    """Give how many facts were right, said and wanted, shape (N, 3)."""
    rows = []
    for answer, reference in zip(outcome.answers, outcome.references, strict=True):
        said, wanted = facts(answer), facts(reference)
        rows.append([(said & wanted).total(), said.total(), wanted.total()])
    return np.asarray(rows, dtype=np.float64).reshape(-1, 3)


def precision(sums: Floats) -> Floats:
    """Of the facts that were said, the share that is right; 0 where none was said though some were wanted."""
    found = np.where((sums[..., 1] == 0) & (sums[..., 2] > 0), 0.0, ratio(sums[..., :2]))
    return np.asarray(found, dtype=np.float64)


def recall(sums: Floats) -> Floats:
    """Of the facts that were wanted, the share that was said."""
    return ratio(sums[..., ::2])


def f1(sums: Floats) -> Floats:
    """The harmonic mean of both: twice the right ones over all said and wanted."""
    return ratio(np.stack([2 * sums[..., 0], sums[..., 1] + sums[..., 2]], axis=-1))


def _facts(value: Any, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _facts(inner, (*path, str(key)))
    elif isinstance(value, list) and path and not any(isinstance(inner, dict | list) for inner in value):
        for inner in value:
            yield (*path, _plain(inner))
    elif isinstance(value, list):
        for inner in value:
            if isinstance(inner, list) and not any(isinstance(part, dict | list) for part in inner):
                yield (*path, *map(_plain, inner))
            else:
                yield from _facts(inner, path)
    else:
        yield (*path, _plain(value))


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return " ".join(value.split()).casefold()
    return json.dumps(float(value) if isinstance(value, int) and not isinstance(value, bool) else value)
