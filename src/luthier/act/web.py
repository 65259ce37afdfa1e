"""One request to an API: guarded, within its time and size, retried where that helps, redirected only as allowed."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from urllib.parse import urljoin, urlsplit

import httpcore

from luthier.act.guard import Guard, open_pool
from luthier.act.tool import CallError

MOST_REDIRECTS = 5
REDIRECTS = (301, 302, 303, 307, 308)
PASSING = (408, 429, 500, 502, 503, 504)
"""Statuses that may be others a moment later."""
LONGEST_WAIT_SECONDS = 10.0


@dataclass(frozen=True)
class Request:
    """What is to be sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    private_headers: Mapping[str, str] | None = None
    """Sent to the origin the request was made for, to no other."""

    @property
    def is_safe(self) -> bool:
        """Whether sending it again changes nothing."""
        return self.method in ("GET", "HEAD")


@dataclass(frozen=True)
class Response:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    is_cut: bool
    """Whether there was more than the limit."""


class Web:
    """Sends requests within one guard."""

    def __init__(
        self,
        guard: Guard,
        *,
        retries: int,
        most_bytes: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._guard = guard
        self._retries = retries
        self._most_bytes = most_bytes
        self._sleep = sleep
        self._pool = open_pool(guard)

    def close(self) -> None:
        """Give the connections back."""
        self._pool.close()

    def send(self, request: Request, seconds: float) -> Response:
        """Send a request; safe ones are tried again. Raises CallError if there is no answer in so many seconds."""
        end = time.monotonic() + seconds
        for attempt in range(self._retries + 1 if request.is_safe else 1):
            is_last = attempt == self._retries or not request.is_safe
            try:
                response = self._follow(request, end)
            except CallError as error:
                if is_last or not isinstance(error.__cause__, httpcore.NetworkError | httpcore.RemoteProtocolError):
                    raise
                wait = _wait_seconds(None, attempt)
            else:
                wait = _wait_seconds(response, attempt)
                if is_last or response.status not in PASSING:
                    return response
            if wait > min(LONGEST_WAIT_SECONDS, end - time.monotonic()):
                raise CallError(f"it asks to wait for {wait:.0f} s", where=request.url, mend="try again later")
            self._sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _follow(self, request: Request, end: float) -> Response:
        for _ in range(MOST_REDIRECTS + 1):
            response = self._once(request, end)
            target = response.headers.get("location")
            if response.status not in REDIRECTS or not target or not request.is_safe:
                return response
            url = urljoin(request.url, target)
            is_same = urlsplit(url)[:2] == urlsplit(request.url)[:2]
            request = replace(request, url=url, private_headers=request.private_headers if is_same else None)
        raise CallError(
            f"it redirects more than {MOST_REDIRECTS} times", where=request.url, mend="ask for the last address itself"
        )

    def _once(self, request: Request, end: float) -> Response:
        self._guard.check(request.url)
        headers = {"Accept-Encoding": "identity", "User-Agent": "luthier", **request.headers}
        headers |= request.private_headers or {}
        try:
            with self._pool.stream(
                request.method,
                request.url,
                headers=[(name.encode("ascii"), value.encode("utf-8")) for name, value in headers.items()],
                content=request.body or None,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), _left(end, request.url))},
            ) as answer:
                body, is_cut = self._read(answer, end, request.url)
                found = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers}
        except httpcore.TimeoutException as error:
            raise _late(request.url) from error
        except (httpcore.NetworkError, httpcore.ProtocolError, UnicodeError) as error:
            raise CallError(
                f"it does not answer: {error or type(error).__name__}", where=request.url, mend="see whether it runs"
            ) from error
        if found.get("content-encoding", "identity") != "identity":
            raise CallError(
                f"it sends {found['content-encoding']} although asked for plain bytes",
                where=request.url,
                mend="let it heed Accept-Encoding: identity",
            )
        return Response(answer.status, found, body, is_cut)

    def _read(self, answer: httpcore.Response, end: float, url: str) -> tuple[bytes, bool]:
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_stream():
            _left(end, url)
            parts.append(part)
            size += len(part)
            if size > self._most_bytes:
                return b"".join(parts)[: self._most_bytes], True
        return b"".join(parts), False


def _left(end: float, url: str) -> float:
    left = end - time.monotonic()
    if left <= 0:
        raise _late(url)
    return left


def _late(url: str) -> CallError:
    return CallError("it did not answer in time", where=url, mend="try again, or give it more timeout_seconds")


def _wait_seconds(response: Response | None, attempt: int) -> float:
    """As the server says, else 0.5 s, 1 s, 2 s ... give or take a half, so that many do not come back at once."""
    said = response.headers.get("retry-after", "") if response else ""
    return float(said) if said.isdigit() else 0.5 * 2**attempt * (0.5 + random.random())
