"""A coarse copy of many vectors, a byte a number, by FAISS: it says which few need to be looked at exactly.

Exact all the same: a cosine of the copy is off by no more than the copy's steps allow, so once the last of the wanted
ones lies so far above everything that was not looked at, nothing can have been missed.
"""

from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from luthier.retrieve.ports import Vector

LEAST_ROWS = 200_000
"""Below it, reading every vector is as fast."""
LOOKED_AT = 4
"""Times as many as are wanted are looked at first, then so many times more."""
AT_ONCE = 20_000

Exact = Callable[[Sequence[int]], npt.NDArray[np.float32]]
"""Gives the cosines of some ids."""


def is_installed() -> bool:
    """Whether FAISS is here (`pip install 'luthier[faiss]'`)."""
    return find_spec("faiss") is not None


class Coarse:
    """Vectors under ids."""

    def __init__(self, ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
        import faiss

        width = vectors.shape[1]
        kind = faiss.ScalarQuantizer.QT_8bit
        self._quantizer = faiss.IndexScalarQuantizer(width, kind, faiss.METRIC_INNER_PRODUCT)
        self._quantizer.train(vectors)
        self._index = faiss.IndexIDMap2(self._quantizer)
        self._off: npt.NDArray[np.float32] = np.zeros(width, np.float32)
        """How far each number of the copy is off at most."""
        self.add(ids, vectors)

    def add(self, ids: npt.NDArray[np.int64], vectors: npt.NDArray[np.float32]) -> None:
        """Add vectors under new ids, and see how far their copies are off."""
        self._index.add_with_ids(vectors, ids)
        for begin in range(0, len(vectors), AT_ONCE):
            part = vectors[begin : begin + AT_ONCE]
            copied = self._quantizer.sa_decode(self._quantizer.sa_encode(part))
            self._off = np.maximum(self._off, np.abs(copied - part).max(axis=0))

    def remove(self, ids: Sequence[int]) -> None:
        """Take vectors away; unknown ids are passed over."""
        self._index.remove_ids(np.asarray(ids, np.int64))

    def nearest(self, vector: Vector, count: int, exact: Exact) -> list[tuple[int, float]] | None:
        """Give the (id, cosine) of the nearest, or None where so many lie as near that all must be looked at."""
        off = float(np.abs(vector) @ self._off) + 1e-6
        total, looked_at = int(self._index.ntotal), LOOKED_AT * count
        while looked_at < total / LOOKED_AT:
            coarse, found = self._index.search(vector[None], looked_at)
            ids = np.asarray(found[0], np.int64)
            cosines = exact(ids.tolist())
            order = np.lexsort((ids, -cosines))[:count]
            if cosines[order[-1]] > coarse[0][-1] + off:
                return [(int(ids[place]), float(cosines[place])) for place in order]
            looked_at *= LOOKED_AT
        return None
