"""A real server on a free port, and models that say what they are told to say."""

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from luthier.engine.ports import ALWAYS_TAKEN, Answer, ChatModel, Piece, Prompt, Sampling
from luthier.event import Tell, hush
from luthier.serve.app import build_app
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
    at_once: int = 0
    most_at_once: int = 0

    @property
    def takes(self) -> frozenset[str]:
        return ALWAYS_TAKEN

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {"temperature": 0.5}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        raise NotImplementedError

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        self.asked.append((prompt, sampling))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            yield from self._say(cancelled)
        finally:
            self.at_once -= 1
            self.ended.set()

    def _say(self, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        for number, text in enumerate(self.pieces):
            if self.pace is not None:
                self.pace.wait(10)
            time.sleep(self.seconds_per_piece)
            if cancelled():
                return
            self.said += 1
            yield Piece(text, None, (number,))
        if self.error is not None:
            raise self.error
        yield Piece("", Answer("".join(self.pieces), tuple(range(len(self.pieces))), (1, 2, 3), "stop"))


@contextmanager
def serving(*models: ChatModel, tell: Tell = hush, **settings: Any) -> Iterator[str]:
    """Serve these models with uvicorn in a thread. Gives the URL up to and without /v1."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = build_app(ServeSpec(**settings), models, tell)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()
        assert not thread.is_alive()
