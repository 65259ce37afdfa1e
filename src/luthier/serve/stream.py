"""A streamed response: what is written as it comes, and the end of the engine's work once the client has left."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from starlette.types import Receive, Scope, Send

NO_BUFFER = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache", "x-accel-buffering": "no"}


class EventStream:
    """Sends server-sent events. `stop` is called as soon as the client has left."""

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], headers: Mapping[str, str], stop: Callable[[], None]
    ) -> None:
        self._chunks = chunks
        self.headers = {**NO_BUFFER, **headers}
        self.status_code = 200
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Write the response."""
        leaving = asyncio.ensure_future(_gone(receive))
        leaving.add_done_callback(lambda done: self._stop() if not done.cancelled() else None)
        lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.headers.items()]
        try:
            async with aclosing(self._chunks):
                await send({"type": "http.response.start", "status": 200, "headers": lines})
                async for chunk in self._chunks:
                    if leaving.done():
                        return
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            leaving.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
