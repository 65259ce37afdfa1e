"""From a model's thread to the server's loop: pieces of an answer, as many as came since one last looked."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import Executor
from contextlib import suppress

from luthier.engine.ports import ChatModel, Piece, Prompt, Sampling
from luthier.errors import ServeError


class Gone:
    """Whether anybody still wants the answers; may be said from any thread."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def __call__(self) -> bool:
        return self._event.is_set()

    def say(self) -> None:
        """Say that nobody wants them."""
        self._event.set()


class _Box:
    """What a thread says, until the loop takes it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._items: deque[Piece | Exception | None] = deque()
        self._arrived = asyncio.Event()
        self._is_called = False

    def post(self, item: Piece | Exception | None) -> None:
        """Put something in, from the thread; None: that was all."""
        self._items.append(item)
        if not self._is_called:  # the loop is woken once for all that comes until it looks
            self._is_called = True
            with suppress(RuntimeError):  # the server has stopped: nobody listens any more
                self._loop.call_soon_threadsafe(self._arrived.set)

    async def take(self) -> tuple[list[Piece], bool, Exception | None]:
        """Wait for something: gives the pieces, whether they are the last, and what went wrong after them."""
        await self._arrived.wait()
        self._arrived.clear()
        self._is_called = False
        fresh: list[Piece] = []
        while self._items:
            item = self._items.popleft()
            if not isinstance(item, Piece):
                return fresh, True, item
            fresh.append(item)
        return fresh, False, None


async def pieces(
    model: ChatModel,
    prompt: Prompt,
    sampling: Sampling,
    pool: Executor,
    *,
    gone: Gone,
    released: Callable[[], None],
    stuck_seconds: float,
) -> AsyncGenerator[list[Piece], None]:
    """Ask the model in a thread of the pool; give what it says in lists, each of all that came since the last.

    Closing this generator stops the model; `released` is called in the loop once its thread is free again, which may
    be later. Raises what the model raises, and ServeError if it says nothing for `stuck_seconds`.
    """
    loop = asyncio.get_running_loop()
    box = _Box()

    def work() -> None:
        try:
            for piece in model.stream(prompt, sampling, gone):
                box.post(piece)
                if gone():
                    break
            box.post(None)
        except Exception as error:  # carried to the request that asked
            box.post(error)

    def free(_: object) -> None:
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(released)

    pool.submit(work).add_done_callback(free)
    is_last = False
    try:
        while not is_last:
            try:
                async with asyncio.timeout(stuck_seconds):
                    fresh, is_last, problem = await box.take()
            except TimeoutError:
                raise _stuck(model, stuck_seconds) from None
            if fresh:
                yield fresh
            if problem is not None:
                raise problem
    finally:
        gone.say()


def _stuck(model: ChatModel, seconds: float) -> ServeError:
    return ServeError(
        f"the engine of {model.name!r} has said nothing for {seconds:g} s",
        where="the engine",
        mend="ask again later; whoever runs the server sees it in /health/ready",
    )
