"""An embedder behind an OpenAI URL: ours, vLLM, or any other that answers `/embeddings`."""

from collections.abc import Sequence
from typing import Any, Literal

import httpx
import numpy as np
import numpy.typing as npt

from luthier.engine.remote import full_url
from luthier.errors import ServeError
from luthier.event import Progress, Tell

AT_ONCE = 64
CHARACTERS_PER_TOKEN = 4
MOST_TOKENS = 512
"""Servers do not say how much their models read; nearly all read as much."""
TIMEOUT = httpx.Timeout(300.0, connect=10.0)


class RemoteEmbedder:
    """An embedder asked over HTTP. Tokens are guessed: four characters one, a CJK character one."""

    most_tokens = MOST_TOKENS

    def __init__(self, address: str, api_key: str | None = None) -> None:
        """Ask the server at `http://host/v1#model` (without `#model` its first one) for the width of its vectors.

        `api_key` is OPENAI_API_KEY where none is given. Raises ServeError if it does not answer.
        """
        import os

        url, _, model = address.partition("#")
        key = api_key or os.environ.get("OPENAI_API_KEY")
        self._url = full_url(url)
        self._client = httpx.Client(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=TIMEOUT)
        self._model = model or str(self._ask("GET", "models")["data"][0]["id"])
        self.name = f"{self._url}#{self._model}"
        self.width = len(self._vectors(["width"])[0])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Guess how many tokens each text has."""
        return [
            sum(1 for character in text if character >= "\u2e80")
            + sum(1 for character in text if character < "\u2e80") // CHARACTERS_PER_TOKEN
            + 1
            for text in texts
        ]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text; the API knows no roles."""
        vectors = np.zeros((len(texts), self.width), np.float32)
        for begin in range(0, len(texts), AT_ONCE):
            found = np.asarray(self._vectors(list(texts[begin : begin + AT_ONCE])), np.float32)
            vectors[begin : begin + len(found)] = found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)
            if len(texts) > 1:
                tell(Progress("embedding", begin + len(found), len(texts), "texts"))
        return vectors

    def _vectors(self, texts: list[str]) -> list[list[float]]:
        body = self._ask("POST", "embeddings", {"model": self._model, "input": texts, "encoding_format": "float"})
        rows = sorted(body["data"], key=lambda row: int(row["index"]))
        return [row["embedding"] for row in rows]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        where = f"{self._url}/{path}"
        try:
            response = self._client.request(method, where, json=body)
        except httpx.HTTPError as error:
            raise ServeError(
                f"the embeddings' server does not answer: {error}", where=where, mend="start it, or mend the address"
            ) from None
        if response.status_code != 200:
            raise ServeError(
                f"the embeddings' server says {response.status_code}: {response.text[:200]}",
                where=where,
                mend="name a model that gives embeddings: embedder=http://host/v1#MODEL; a key is OPENAI_API_KEY",
            )
        return response.json()
