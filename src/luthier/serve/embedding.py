"""/v1/embeddings: texts in, vectors out, as numbers or as the base64 of float32."""

import asyncio
import base64
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from luthier.engine.ports import CONTEXT, Embedder
from luthier.errors import DataError
from luthier.event import hush
from luthier.serve.body import read_limited
from luthier.serve.gateway import Gateway
from luthier.serve.refusal import RefusedError
from luthier.serve.request import TokenIds, build_known, check_count, read_body, sift
from luthier.serve.response import write
from luthier.serve.turn import Int, Text
from luthier.spec import Spec


class EmbeddingRequest(Spec):
    """The body of /v1/embeddings."""

    model: Text
    input: Text | TokenIds | Annotated[list[Text] | list[TokenIds], Field(min_length=1)]
    """A text, or a list of texts."""
    encoding_format: Literal["float", "base64"] = "float"
    """Numbers, or the base64 of float32, little-endian."""
    dimensions: Annotated[Int, Field(ge=1)] | None = None
    """How many numbers a vector has: what the model gives, and nothing else."""
    input_type: Literal["query", "passage"] | None = None
    """Not OpenAI's: what the texts are for (default: passage)."""


async def embed(gateway: Gateway, request: Request) -> Response:
    """Answer one request. Raises RefusedError or DataError, both of which name the parameter."""
    key = gateway.key_of(request)
    data = sift(read_body(await read_limited(request, gateway.spec.body_bytes, gateway.spec.body_seconds)), {})
    asked, ignored = build_known(EmbeddingRequest, data)
    gateway.check_scope(key, asked.model)
    embedder = gateway.shelf.embedder(asked.model)
    texts = _texts(asked, embedder)
    check_count(texts, gateway.spec.messages, "input")
    loop = asyncio.get_running_loop()
    counts = await loop.run_in_executor(gateway.shelf.embedding, embedder.count_tokens, texts)
    _check_lengths(counts, embedder)
    with gateway.rates.one_more(key):
        headers = await gateway.rates.take(key, sum(counts))
        role = asked.input_type or "passage"
        vectors = await loop.run_in_executor(
            gateway.shelf.embedding, lambda: embedder.embed(texts, role, hush).astype("<f4", copy=False)
        )
    gateway.counted(asked.model, key, 200)
    if ignored:
        headers["x-luthier-ignored"] = ", ".join(ignored)[:500].encode("ascii", "backslashreplace").decode()
    rows = [
        {"object": "embedding", "index": index, "embedding": _written(vector, asked.encoding_format)}
        for index, vector in enumerate(vectors)
    ]
    total = sum(counts)
    body = {
        "object": "list",
        "data": rows,
        "model": asked.model,
        "usage": {"prompt_tokens": total, "total_tokens": total},
    }
    return Response(write(body), 200, headers, "application/json")


def _texts(asked: EmbeddingRequest, embedder: Embedder) -> list[str]:
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise RefusedError(
                f"input is token ids, and the embedder {embedder.name!r} reads texts",
                where="request body, key input",
                mend="send texts (langchain: check_embedding_ctx_length=False)",
                code="unsupported_parameter",
            )
        if not text:
            raise DataError(f"text {place} is empty", where="request body, key input", mend="leave it out")
    if asked.dimensions not in (None, embedder.width):
        raise RefusedError(
            f"dimensions is {asked.dimensions}, {embedder.name!r} gives {embedder.width} and nothing else",
            where="request body, key dimensions",
            mend="leave dimensions out",
            code="unsupported_parameter",
        )
    return [text for text in texts if isinstance(text, str)]


def _check_lengths(counts: Sequence[int], embedder: Embedder) -> None:
    for place, count in enumerate(counts):
        if count > embedder.most_tokens:
            raise DataError(
                f"text {place} has {count} tokens, {embedder.name!r} reads {embedder.most_tokens}",
                where=f"request body, {CONTEXT}",
                mend=f"shorten it to at most {embedder.most_tokens} tokens",
            )


def _written(vector: "np.ndarray[Any, Any]", form: str) -> Any:
    return base64.b64encode(vector.tobytes()).decode("ascii") if form == "base64" else vector.tolist()
