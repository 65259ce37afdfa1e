"""Follows the release that is current: a new one is opened beside the old, then takes its place."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from luthier.event import Said, Warned
from luthier.serve.gateway import Gateway

LOOK_SECONDS = 2.0


@asynccontextmanager
async def following(gateway: Gateway) -> AsyncIterator[None]:
    """Follow as long as this context is open, where the server was given something to follow."""
    if gateway.given.current is None or gateway.given.open_model is None:
        yield
        return
    task = asyncio.ensure_future(_follow(gateway))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _follow(gateway: Gateway) -> None:
    current, open_model = gateway.given.current, gateway.given.open_model
    assert current is not None
    assert open_model is not None
    loop = asyncio.get_running_loop()
    followed = await loop.run_in_executor(None, current)
    refused = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        found = await loop.run_in_executor(None, current)
        if found is None or found in (followed, refused):
            continue
        try:
            model = await loop.run_in_executor(None, open_model, found)
        except Exception as error:  # whatever is wrong with the new one, the old one goes on answering
            refused = found
            told = f"{found} cannot be served, {followed} goes on: {error}"
            gateway.tell(Warned(told, "mend what is named above, or roll back (luthier release --rollback)"))
            continue
        gateway.shelf.follow(followed, found, model)
        gateway.tell(Said(f"serving {found} in the place of {followed}"))
        followed = found
