"""A real server on a free port, and models that say what they are told to say."""

import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import uvicorn

from luthier.engine.ports import ALWAYS_TAKEN, Answer, ChatModel, Likely, Piece, Prompt, Sampling
from luthier.event import Tell, hush
from luthier.serve.app import build_app
from luthier.serve.given import Given
from luthier.serve.spec import ServeSpec


@dataclass
class Script:
    """Says its pieces, one token each; waits before each until `pace` is set; remembers how far it came."""

    pieces: Sequence[str] = ("Hello", " you")
    name: str = "script"
    error: Exception | None = None
    pace: threading.Event | None = None
    seconds_per_piece: float = 0.0
    said: int = 0
    ended: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[Prompt, Sampling]] = field(default_factory=list)
    open_now: int = 0
    most_at_once: int = 0
    heeds: frozenset[str] = ALWAYS_TAKEN
    logprobs: tuple[Likely, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    sick: str = ""

    @property
    def takes(self) -> frozenset[str]:
        return self.heeds

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"temperature": 0.5}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        return [Answer("".join(self.pieces), (), (), "stop") for _ in prompts]

    def ailing(self) -> str:
        return self.sick

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        self.open_now += 1
        self.most_at_once = max(self.most_at_once, self.open_now)
        try:
            yield from self._say(cancelled)
        finally:
            self.open_now -= 1
            self.ended.set()

    def _say(self, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        for number, text in enumerate(self.pieces):
            if self.pace is not None:
                self.pace.wait(10)
            time.sleep(self.seconds_per_piece)
            if cancelled():
                return
            self.said += 1
            yield Piece(text, None, (number,), logprobs=self.logprobs[number : number + 1])
        if self.error is not None:
            raise self.error
        ids = tuple(range(len(self.pieces)))
        text = "".join(self.pieces)
        yield Piece("", Answer(text, ids, (1, 2, 3), "stop", logprobs=self.logprobs, details=self.details))


@contextmanager
def serving(
    *models: ChatModel,
    tell: Tell = hush,
    given: Given | None = None,
    lifespan: Literal["on", "off"] = "off",
    **settings: Any,
) -> Iterator[str]:
    """Serve these models with uvicorn in a thread. Gives the URL up to and without /v1."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_app(ServeSpec.model_validate(settings), models, tell, given)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan=lifespan, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()


class Hashing:
    """An embedder whose vectors are a hash of the text: equal texts, equal vectors."""

    name = "hashing"
    width = 8
    most_tokens = 5

    def __init__(self) -> None:
        self.roles: list[str] = []

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        self.roles.append(role)
        rows = [[byte / 255 for byte in hashlib.sha256(text.encode()).digest()[:8]] for text in texts]
        vectors = np.asarray(rows, np.float32)
        unit: npt.NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit
