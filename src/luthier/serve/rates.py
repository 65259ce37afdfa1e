"""Bounds for each key: requests and tokens a minute, requests at once; told in the headers OpenAI's clients know."""

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from limits.errors import ConfigurationError
from limits.storage import storage_from_string

from luthier.errors import SpecError, ToolError
from luthier.serve.keys import Key
from luthier.serve.refusal import RefusedError
from luthier.serve.spec import RatesSpec


class Rates:
    """Counts what each key asks."""

    def __init__(self, spec: RatesSpec) -> None:
        self._spec = spec
        self._open: Counter[str] = Counter()
        try:
            storage = storage_from_string(f"async+{spec.storage}")
        except ConfigurationError as error:
            if "prerequisite" in str(error):
                raise ToolError(
                    f"counting in {spec.storage.partition(':')[0]} needs a client that is not installed: {error}",
                    where="key rates.storage",
                    mend="pip install 'limits[async-redis]', or leave rates.storage out: it counts in memory",
                ) from None
            raise SpecError(
                f"rates.storage is {spec.storage!r}: {error}",
                where="key rates.storage",
                mend="give memory:// or redis://host:port",
            ) from None
        self._limiter = SlidingWindowCounterRateLimiter(storage)

    async def take(self, key: Key, tokens: int) -> dict[str, str]:
        """Count a request; gives the headers that say what is left. Raises RefusedError (429, 413) over a bound."""
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
            if not await self._limiter.test(item, key.id, name, cost=cost):
                raise await self._over(name, item, key, headers)
        for name, item, cost in bounds:
            if not await self._limiter.hit(item, key.id, name, cost=cost):  # another took it meanwhile
                raise await self._over(name, item, key, headers)
            headers |= await self._left(name, item, key)
        return headers

    async def _left(self, name: str, item: RateLimitItem, key: Key) -> dict[str, str]:
        found = await self._limiter.get_window_stats(item, key.id, name)
        return {
            f"x-ratelimit-limit-{name}": str(item.amount),
            f"x-ratelimit-remaining-{name}": str(found.remaining),
            f"x-ratelimit-reset-{name}": _lasting(max(0.0, found.reset_time - time.time())),
        }

    async def _over(self, name: str, item: RateLimitItem, key: Key, headers: dict[str, str]) -> RefusedError:
        left = await self._left(name, item, key)
        found = await self._limiter.get_window_stats(item, key.id, name)
        seconds = min(60.0, max(1.0, found.reset_time - time.time()))
        return RefusedError(
            f"this key may ask {item.amount} {name} a minute",
            where="the key",
            mend=f"ask again in {math.ceil(seconds)} s",
            status=429,
            code="rate_limit_exceeded",
            headers=headers | left | {"Retry-After": str(math.ceil(seconds))},
        )

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


def _lasting(seconds: float) -> str:
    """Write a time as OpenAI does: `1s`, `6m0s`, `20ms`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(math.ceil(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
