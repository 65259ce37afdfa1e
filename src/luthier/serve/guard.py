"""The one place where whatever goes wrong becomes a response."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from luthier.serve.faults import report
from luthier.serve.gateway import Gateway
from luthier.serve.refusal import STOPPING, headers_of, status_of, to_plain

Handler = Callable[[Request], Awaitable[Any]]


class Guard:
    """Wraps a route's work: every exception becomes an error object, and a client that leaves ends the work."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def __call__(self, work: Handler) -> Handler:
        """Give the work, guarded."""

        async def guarded(request: Request) -> Any:
            try:
                return await work(request)
            except asyncio.CancelledError:  # the server was told to stop, and this answer took too long to begin
                return self.response(STOPPING)
            except Exception as error:  # whatever it is, the client gets an error object
                return self.response(error)

        return guarded

    def response(self, error: BaseException) -> Response:
        """Give an exception as a response; what is our own fault is told."""
        report(error, self._gateway.tell)
        return JSONResponse(to_plain(error), status_of(error), headers_of(error))

    async def unless_gone(self, request: Request, work: Awaitable[Any]) -> Any:
        """Give what the work gives. Raises ClientDisconnect, with the work cancelled, once the client has left."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise ClientDisconnect
            return working.result()
        finally:
            leaving.cancel()
            if not working.done():
                working.cancel()
                await asyncio.gather(working, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
