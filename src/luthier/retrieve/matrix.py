"""Vectors in memory, searched exactly."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.retrieve import coarse
from luthier.retrieve.ports import Vector


class Matrix:
    """Float32 rows under ids. Taking one away moves the last into its place, so a change costs what it changes."""

    def __init__(self, width: int, rows: int = 0) -> None:
        self._ids: npt.NDArray[np.int64] = np.zeros(rows, np.int64)
        self._vectors: npt.NDArray[np.float32] = np.zeros((rows, width), np.float32)
        self._row_of: dict[int, int] = {}
        self._coarse: coarse.Coarse | None = None

    def __len__(self) -> int:
        return len(self._row_of)

    def add(self, ids: Sequence[int], vectors: npt.NDArray[np.float32]) -> None:
        """Add rows under ids that are not in it."""
        begin, end = len(self), len(self) + len(ids)
        if end > len(self._ids):
            more = max(end, len(self._ids) * 5 // 4) - len(self._ids)
            self._ids = np.concatenate([self._ids, np.zeros(more, np.int64)])
            self._vectors = np.concatenate([self._vectors, np.zeros((more, self._vectors.shape[1]), np.float32)])
        self._ids[begin:end] = ids
        self._vectors[begin:end] = vectors
        self._row_of.update(zip(ids, range(begin, end), strict=True))
        if self._coarse:
            self._coarse.add(self._ids[begin:end], self._vectors[begin:end])

    def remove(self, ids: Sequence[int]) -> None:
        """Take rows away; ids that are not in it are passed over."""
        if self._coarse:
            self._coarse.remove(ids)
        for number in ids:
            row = self._row_of.pop(number, None)
            if row is None:
                continue
            last = len(self)
            if row != last:
                self._ids[row], self._vectors[row] = self._ids[last], self._vectors[last]
                self._row_of[int(self._ids[row])] = row

    def nearest(self, vector: Vector, count: int, only: Sequence[int] | None = None) -> list[tuple[int, float]]:
        """Give the (id, dot product) of the nearest rows; `only` among these ids."""
        if only is None:
            copy = self._coarse_copy()
            found = copy.nearest(vector, count, lambda ids: self._vectors[self._rows(ids)] @ vector) if copy else None
            return found or best(self._ids[: len(self)], self._vectors[: len(self)] @ vector, count)
        rows = self._rows(only)
        return best(self._ids[rows], self._vectors[rows] @ vector, count)

    def _rows(self, ids: Sequence[int]) -> list[int]:
        return [self._row_of[number] for number in ids if number in self._row_of]

    def _coarse_copy(self) -> coarse.Coarse | None:
        """Give the coarse copy of many vectors, made when it is first asked for; None for few, or without FAISS."""
        if self._coarse is None and len(self) >= coarse.LEAST_ROWS and coarse.is_installed():
            self._coarse = coarse.Coarse(self._ids[: len(self)], self._vectors[: len(self)])
        return self._coarse


def nearest_of(vectors: Mapping[int, Vector], vector: Vector, count: int) -> list[tuple[int, float]]:
    """Give the (id, dot product) of the nearest among a few vectors."""
    if not vectors:
        return []
    return best(np.asarray(list(vectors), np.int64), np.stack(list(vectors.values())) @ vector, count)


def best(ids: npt.NDArray[Any], scores: npt.NDArray[Any], count: int) -> list[tuple[int, float]]:
    """Give the ids of the highest scores with them, the highest first; of equal ones the lower id."""
    if len(scores) > count:
        edge = np.partition(scores, len(scores) - count)[len(scores) - count]
        chosen = np.flatnonzero(scores >= edge)
        ids, scores = ids[chosen], scores[chosen]
    order = np.lexsort((ids, -scores))[:count]
    return [(int(ids[place]), float(scores[place])) for place in order]
