"""Bounds for each key: requests and tokens a minute, requests at once; told in the headers OpenAI's clients know."""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError, StorageError
from limits.storage import storage_from_string

from luthier.errors import SpecError, ToolError
from luthier.event import Tell, Warned, hush
from luthier.serve.keys import Key
from luthier.serve.refusal import RefusedError
from luthier.serve.spec import RatesSpec

RETRY_SECONDS = 5.0
"""How long each server counts for itself before it tries again to reach what they share."""
PATIENT = {"socket_connect_timeout": 1.0, "socket_timeout": 1.0}
"""Nobody waits longer for a count."""


class Rates:
    """Counts what each key asks."""

    def __init__(self, spec: RatesSpec, tell: Tell = hush, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._tell = tell
        self._clock = clock
        self._open: Counter[str] = Counter()
        self._shared = SlidingWindowCounterRateLimiter(_storage(spec.storage))
        self._own = SlidingWindowCounterRateLimiter(_storage("memory://"))
        self._lost_until = 0.0

    async def take(self, key: Key, tokens: int) -> dict[str, str]:
        """Count a request; gives the headers that say what is left. Raises RefusedError (429, 413) over a bound.

        While the storage cannot be reached, this server counts for itself: nobody is sent away for that.
        """
        if self._clock() >= self._lost_until:
            try:
                headers = await self._take(self._shared, key, tokens)
                self._lost_until = 0.0
                return headers
            except StorageError as error:
                if not self._lost_until:
                    what = f"{self._spec.storage} cannot be reached, and this server counts for itself: {error}"
                    self._tell(Warned(what, "see that it runs; it is tried again every few seconds"))
                self._lost_until = self._clock() + RETRY_SECONDS
        return await self._take(self._own, key, tokens)

    async def _take(self, limiter: SlidingWindowCounterRateLimiter, key: Key, tokens: int) -> dict[str, str]:
        headers: dict[str, str] = {}
        bounds = [
            (name, RateLimitItemPerMinute(most), cost)
            for name, most, cost in (
                ("requests", key.requests_per_minute or self._spec.requests_per_minute, 1),
                ("tokens", key.tokens_per_minute or self._spec.tokens_per_minute, tokens),
            )
            if most
        ]
        for name, item, cost in bounds:
            if cost > item.amount:
                raise RefusedError(
                    f"the request asks for {cost} {name}, a minute has {item.amount} for this key",
                    where="request body, key max_tokens",
                    mend="ask for less at once",
                    status=413,
                    code="request_too_large",
                )
            if not await limiter.test(item, key.id, name, cost=cost):
                raise await _over(limiter, name, item, key, headers)
        for name, item, cost in bounds:
            if not await limiter.hit(item, key.id, name, cost=cost):  # another took it meanwhile
                raise await _over(limiter, name, item, key, headers)
            headers |= await _left(limiter, name, item, key)
        return headers

    @contextmanager
    def one_more(self, key: Key) -> Iterator[None]:
        """Count a request as open while it is. Raises RefusedError (429) if too many of the key are."""
        most = key.at_once or self._spec.at_once
        if most is not None and self._open[key.id] >= most:
            raise RefusedError(
                f"{most} requests of this key are open already",
                where="the key",
                mend="ask again when one has ended",
                status=429,
                code="rate_limit_exceeded",
                headers={"Retry-After": "1"},
            )
        self._open[key.id] += 1
        try:
            yield
        finally:
            self._open[key.id] -= 1
            if not self._open[key.id]:
                del self._open[key.id]


async def _left(limiter: SlidingWindowCounterRateLimiter, name: str, item: RateLimitItem, key: Key) -> dict[str, str]:
    found = await limiter.get_window_stats(item, key.id, name)
    return {
        f"x-ratelimit-limit-{name}": str(item.amount),
        f"x-ratelimit-remaining-{name}": str(found.remaining),
        f"x-ratelimit-reset-{name}": _lasting(max(0.0, found.reset_time - time.time())),
    }


async def _over(
    limiter: SlidingWindowCounterRateLimiter, name: str, item: RateLimitItem, key: Key, headers: dict[str, str]
) -> RefusedError:
    left = await _left(limiter, name, item, key)
    found = await limiter.get_window_stats(item, key.id, name)
    seconds = min(60.0, max(1.0, found.reset_time - time.time()))
    return RefusedError(
        f"this key may ask {item.amount} {name} a minute",
        where="the key",
        mend=f"ask again in {math.ceil(seconds)} s",
        status=429,
        code="rate_limit_exceeded",
        headers=headers | left | {"Retry-After": str(math.ceil(seconds))},
    )


def _storage(where: str) -> Storage:
    """Open a storage. Raises ToolError without its client, SpecError for one that is none."""
    options: dict[str, Any] = {"implementation": "redispy", **PATIENT} if where.startswith("redis") else {}
    try:
        found = storage_from_string(f"async+{where}", wrap_exceptions=True, **options)
    except ConfigurationError as error:
        if "prerequisite" in str(error):
            raise ToolError(
                f"counting in {where.partition(':')[0]} needs a client that is not installed: {error}",
                where="key rates.storage",
                mend="pip install 'limits[redis]', or leave rates.storage out: it counts in memory",
            ) from None
        raise SpecError(
            f"rates.storage is {where!r}: {error}",
            where="key rates.storage",
            mend="give memory:// or redis://host:port",
        ) from None
    assert isinstance(found, Storage)
    return found


def _lasting(seconds: float) -> str:
    """Write a time as OpenAI does: `1s`, `6m0s`, `20ms`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
