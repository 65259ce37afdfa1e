"""An embedder for tests: each word is a fixed random direction, a text the sum of its words."""

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt

from luthier.event import Tell
from luthier.measure.words import words


class WordEmbedder:
    """Texts that share words lie near each other; it counts what it embeds."""

    def __init__(self, width: int = 32, name: str = "words") -> None:
        self.name = name
        self.width = width
        self.most_tokens = 500
        self.embedded: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """One token for each word."""
        return [len(words(text)) for text in texts]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Sum the words' directions, and bring the sum to length 1."""
        self.embedded.extend(texts)
        rows = [sum((self._direction(word) for word in words(text)), np.zeros(self.width)) for text in texts]
        matrix = np.asarray(rows, np.float32).reshape(len(texts), self.width)
        vectors: npt.NDArray[np.float32] = matrix / np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
        return vectors

    def _direction(self, word: str) -> npt.NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:4], "little")
        return np.random.default_rng(seed).standard_normal(self.width)
