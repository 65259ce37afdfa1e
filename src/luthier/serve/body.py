"""A request's body, as long as it may be and as slow as it may come."""

import asyncio

from starlette.requests import Request

from luthier.serve.refusal import RefusedError

DRAINED_TIMES = 16
"""A body that is too long is read (and thrown away) up to so many times the limit: a client that is still sending
would see a broken pipe instead of the answer."""


async def read_limited(request: Request, limit: int, seconds: float) -> bytes:
    """Give the body. Raises RefusedError: 413 if it is too long, 408 if it does not come in time."""
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, limit)
    except TimeoutError:
        raise RefusedError(
            f"the body did not come within {seconds:g} s",
            where="request body",
            mend="send it faster, or start the server with a greater body_seconds",
            status=408,
            code="timeout",
        ) from None


async def _read(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * DRAINED_TIMES:
            break
    if size > limit:
        raise RefusedError(
            f"the body is longer than {limit} bytes",
            where="request body",
            mend="send less at once, or start the server with a greater body_bytes",
            status=413,
            code="request_too_large",
        )
    return b"".join(parts)
