"""The guard for the MCP client, whose HTTP is a library of its own: checked addresses, no redirects, no proxy."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpcore2
import httpx2

from luthier.act.guard import Guard


class GuardedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects to checked addresses only."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address of a name."""
        addresses = await asyncio.to_thread(self._guard.addresses, host, port)
        return await self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await self._network.sleep(seconds)


@asynccontextmanager
async def guarded_client(guard: Guard, headers: Mapping[str, str], seconds: float) -> AsyncIterator[httpx2.AsyncClient]:
    """Give a client whose every request is checked, also those the MCP client makes after a redirect."""

    async def check(request: httpx2.Request) -> None:
        guard.check(str(request.url))

    transport = httpx2.AsyncHTTPTransport(trust_env=False)
    # the library has no argument for it; a release that moves the field fails loudly in our tests
    transport._pool._network_backend = GuardedNetwork(guard)
    async with httpx2.AsyncClient(
        transport=transport,
        headers=dict(headers),
        timeout=httpx2.Timeout(seconds),
        follow_redirects=False,
        trust_env=False,
        event_hooks={"request": [check]},
    ) as client:
        yield client
