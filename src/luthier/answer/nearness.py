"""How near by meaning the documents come to a question, on a scale that means the same with every embedder.

Cosines do not: one embedder gives 0.8 to texts that have nothing in common, another 0.1. So the nearest chunk's cosine
is set against what questions about something else reach in the same base: 0 is no nearer than those, 1 the same text.
"""

import threading
import tomllib
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np

from luthier.measure.words import script_of
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Index

LOOKED_AT = 50
"""Chunks, so that some are left where a document is thought away."""
HIGH = 0.9
"""The quantile of questions about something else that counts as 0: some base knows about some of them."""


class Nearness:
    """Asks a base by meaning; what questions about something else reach is asked once for each state of the base."""

    def __init__(self, index: Index, has_embedder: bool) -> None:
        self._index = index
        self._has_embedder = has_embedder
        self._lock = threading.Lock()
        self._ground: dict[tuple[int, str], float] = {}

    def of(self, question: str, how: SearchSpec, without: Collection[str] = ()) -> float:
        """Give 0 to 1, as if the documents of these labels were not there; 0 in a base without an embedder."""
        if not self._has_embedder:
            return 0.0
        ground = self._ground_of("zh" if script_of([question])[0] == "chinese" else "en")
        nearest = self._nearest(question, how.where, without)
        return max(0.0, (nearest - ground) / (1 - ground))

    def _ground_of(self, language: str) -> float:
        key = (self._index.revision, language)
        with self._lock:
            if key not in self._ground:
                reached = [self._nearest(question, {}, ()) for question in _elsewhere()[language]]
                self._ground[key] = min(0.99, max(0.0, float(np.quantile(reached, HIGH))))
            return self._ground[key]

    def _nearest(self, question: str, where: Mapping[str, object], without: Collection[str]) -> float:
        how = SearchSpec(way="dense", top=LOOKED_AT if without else 1, where=dict(where))
        hits = self._index.search(question, how).hits
        return max((hit.score for hit in hits if hit.chunk.document not in without), default=0.0)


@cache
def _elsewhere() -> Mapping[str, Sequence[str]]:
    text = (Path(__file__).parent / "elsewhere.toml").read_text(encoding="utf-8")
    return {language: part["questions"] for language, part in tomllib.loads(text).items()}
