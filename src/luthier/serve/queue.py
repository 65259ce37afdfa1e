"""One model's queue: one request at a time, in the order of arrival, each in a worker thread."""

import asyncio
import math
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from luthier.engine.ports import ChatModel, Piece, Prompt, Sampling
from luthier.serve.refusal import RefusedError


class Queue:
    """Lets requests to a model one by one; a client that leaves ends its generation within one token."""

    def __init__(self, model: ChatModel, waiting: int) -> None:
        self.model = model
        self._limit = waiting
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._last_seconds = 1.0

    async def say(self, wishes: Sequence[tuple[Prompt, Sampling]]) -> AsyncGenerator[tuple[int, Piece], None]:
        """Answer each wish in turn, piece by piece, with its number.

        Raises RefusedError (429) if too many wait already, and whatever the model raises. Closing this generator,
        or cancelling the task that waits for it, stops the model.
        """
        async with self._my_turn():
            begun = time.monotonic()
            for number, (prompt, sampling) in enumerate(wishes):
                async for piece in self._pieces(prompt, sampling):
                    yield number, piece
            self._last_seconds = time.monotonic() - begun

    @asynccontextmanager
    async def _my_turn(self) -> AsyncIterator[None]:
        if self._turn.locked() and self._waiting >= self._limit:
            seconds = math.ceil(self._last_seconds * (self._waiting + 1))
            raise RefusedError(
                f"{self._waiting} requests wait for {self.model.name!r} already",
                where="key model",
                mend=f"ask again in {seconds} s",
                status=429,
                code="rate_limit_exceeded",
                headers={"Retry-After": str(seconds)},
            )
        self._waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    async def _pieces(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Piece]:
        loop = asyncio.get_running_loop()
        posted: asyncio.Queue[Piece | Exception | None] = asyncio.Queue()
        gone = threading.Event()

        def post(item: Piece | Exception | None) -> None:
            with suppress(RuntimeError):  # the server has stopped: nobody listens any more
                loop.call_soon_threadsafe(posted.put_nowait, item)

        def work() -> None:
            try:
                for piece in self.model.stream(prompt, sampling, gone.is_set):
                    post(piece)
                post(None)
            except Exception as error:  # carried to the request that asked
                post(error)

        worker = loop.run_in_executor(None, work)
        try:
            while (item := await posted.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                yield item
            await worker
        finally:
            gone.set()
