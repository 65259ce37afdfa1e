"""Follows the releases that are current: a new one is opened beside the old, then takes its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luthier.event import Said, Warned
from luthier.serve.gateway import Gateway

LOOK_SECONDS = 2.0


@asynccontextmanager
async def following(gateway: Gateway) -> AsyncIterator[None]:
    """Follow as long as this context is open, where the server was given something to follow."""
    if not gateway.channels or gateway.given.open_model is None:
        yield
        return
    task = asyncio.ensure_future(_follow(gateway))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(gateway: Gateway) -> None:
    loop = asyncio.get_running_loop()
    refused: dict[str, str] = {}
    while True:
        for channel, followed in list(gateway.channels.items()):
            found = await loop.run_in_executor(None, gateway.given.channels[channel])
            if found in (followed, refused.get(channel, "")):
                continue
            try:
                await _change(gateway, channel, found)
            except Exception as error:  # whatever is wrong with the new one, the old one goes on answering
                refused[channel] = found or ""
                goes_on = f", {followed} goes on" if followed else ""
                told = f"{found} cannot be served{goes_on}: {error}"
                gateway.tell(Warned(told, "mend what is named above, or roll back (luthier release --rollback)"))
        await asyncio.sleep(LOOK_SECONDS)


async def _change(gateway: Gateway, channel: str, found: str | None) -> None:
    """Serve another release for a channel: none for a trial that has ended; what everybody gets is never taken away."""
    followed, shelf = gateway.channels[channel], gateway.shelf
    if found is None and channel == "stable":
        return
    if found is not None and found not in shelf.served:
        assert gateway.given.open_model is not None
        loop = asyncio.get_running_loop()
        shelf.put(found, await loop.run_in_executor(None, gateway.given.open_model, found))
    gateway.channels[channel] = found
    if channel == "stable":
        assert found is not None
        shelf.follow(followed, found)
        gateway.tell(Said(f"serving {found} in the place of {followed}"))
    elif found is None:
        gateway.tell(Said(f"the trial of {followed} has ended"))
    else:
        gateway.tell(Said(f"serving {found} as {channel}"))
    if followed and followed not in gateway.channels.values() and followed in shelf.served:
        shelf.take(followed)
