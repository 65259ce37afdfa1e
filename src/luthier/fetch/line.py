"""The line to servers: one HTTP client for all threads, patient with networks, careful with secrets."""

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from luthier import __version__
from luthier.errors import FetchError
from luthier.event import Chose, Event, Tell
from luthier.fetch import patience
from luthier.fetch.refusal import Asked, explain

TAKEN = (200, 206, 416)
PASSING = {408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524}
"""Statuses that may be gone a moment later."""
SHOWN_CHARACTERS = 200
NOTHING: Mapping[str, str] = {}
T = TypeVar("T")


class Hiccup(Exception):  # noqa: N818 (no error yet: the next attempt may do)
    """What may be gone at the next attempt; its text follows the host's name: `host` + text."""


class Slow(Hiccup):
    """Bytes come, but so few that there would be no end; such an attempt counts as one without a byte."""


class Hung(Exception):  # noqa: N818
    """The line was hung up while an attempt was under way."""


class Line:
    """Asks servers and tries again; to be used as a context.

    Private headers (a token) go to the origin of the address they are given for, never to where it redirects.
    """

    def __init__(self, tell: Tell) -> None:
        """Open it. Raises FetchError if HF_HUB_OFFLINE forbids the network."""
        from huggingface_hub import constants

        if constants.HF_HUB_OFFLINE:
            raise FetchError(
                "it is not here, and the network may not be asked", where="HF_HUB_OFFLINE", mend="unset HF_HUB_OFFLINE"
            )
        self.patience = patience.PATIENCE
        self._client = httpx.Client(
            follow_redirects=True,
            max_redirects=10,
            timeout=httpx.Timeout(self.patience.stall_seconds, connect=self.patience.connect_seconds, pool=None),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
            headers={"User-Agent": f"luthier/{__version__}", "Accept-Encoding": "identity"},
            event_hooks={"request": [_dress]},
        )
        self._tell = tell
        self._telling = threading.Lock()
        self._hung = threading.Event()
        self._sockets: set[socket.socket] = set()
        self._holding = threading.Lock()
        self._not_before = 0.0
        self._told_reasons: set[str] = set()

    def __enter__(self) -> "Line":
        for scheme, address in getproxies().items():
            if scheme in ("http", "https", "all"):
                self.tell(Chose(f"{scheme} proxy", urlsplit(address).hostname or address, "the environment says so"))
        return self

    def __exit__(self, *exception: object) -> None:
        self.hang_up()
        self._client.close()

    def tell(self, event: Event) -> None:
        """Tell, from any thread."""
        with self._telling:
            self._tell(event)

    def hang_up(self) -> None:
        """End every attempt under way, from any thread: each raises Hung."""
        self._hung.set()
        with self._holding:
            sockets = list(self._sockets)
        for open_socket in sockets:
            # close() would not wake a thread that reads
            with contextlib.suppress(OSError, ValueError):
                open_socket.shutdown(socket.SHUT_RDWR)

    @contextmanager
    def stream(
        self,
        url: str,
        asked: Asked,
        headers: Mapping[str, str] = NOTHING,
        private: Mapping[str, str] = NOTHING,
        body: Any = None,
        taken: Collection[int] = TAKEN,
    ) -> Iterator[httpx.Response]:
        """Ask, and give the answer before its body is read, if its status is one of `taken`; `body` is sent as JSON.

        Raises Hiccup for what may pass, FetchError for what will not.
        """
        method = "GET" if body is None else "POST"
        extensions = {"private": (_origin(httpx.URL(url)), private)}
        with self._client.stream(method, url, headers=headers, json=body, extensions=extensions) as response:
            open_socket = response.extensions["network_stream"].get_extra_info("socket")
            with self._holding:
                self._sockets.add(open_socket)
            try:
                if self._hung.is_set():
                    raise Hung
                self._check(response, url, asked, taken)
                yield response
            finally:
                with self._holding:
                    self._sockets.discard(open_socket)

    def json(
        self,
        url: str,
        asked: Asked,
        private: Mapping[str, str] = NOTHING,
        body: Any = None,
        headers: Mapping[str, str] = NOTHING,
        none_for: Collection[int] = (),
    ) -> tuple[Any, str | None]:
        """Give an answer's JSON (None for the statuses in `none_for`) and the address of its next page, if any."""

        def attempt() -> tuple[Any, str | None]:
            with self.stream(url, asked, headers, private, body, (200, *none_for)) as response:
                if response.status_code in none_for:
                    return None, None
                response.read()
                try:
                    return response.json(), response.links.get("next", {}).get("url")
                except ValueError:
                    raise Hiccup(f"answers with what is no JSON: {response.text[:40]!r}") from None

        return self.persist(url, attempt)

    def steady(self, pieces: Iterable[bytes]) -> Iterator[bytes]:
        """Give the pieces of a body. Raises Slow once too few bytes have come for too long."""
        begun, came = time.monotonic(), 0
        for data in pieces:
            seconds = time.monotonic() - begun
            if seconds >= self.patience.slow_seconds:
                if came < self.patience.slow_bytes:
                    raise Slow(f"sent only {came:,} bytes in {seconds:.0f} seconds")
                begun, came = time.monotonic(), 0
            came += len(data)
            yield data

    def persist(self, url: str, attempt: Callable[[], T], progress: Callable[[], int] = lambda: 0) -> T:
        """Try until it is done, as long as `progress` (bytes) rises now and then by what is worth an attempt.

        Raises FetchError after so many attempts in a row that were slow or brought too little, Hung if the line is
        hung up.
        """
        failures, best = 0, progress()
        while True:
            is_slow = False
            self._pause(self._not_before - time.monotonic())
            try:
                return attempt()
            except Hiccup as error:
                reason, is_slow = str(error), isinstance(error, Slow)
            except (httpx.TransportError, httpx.TooManyRedirects, httpx.InvalidURL) as error:
                reason = self._words(error, url)
            now = progress()
            failures = 1 if now - best >= self.patience.slow_bytes and not is_slow else failures + 1
            best = max(best, now)
            if failures >= self.patience.attempts:
                raise FetchError(
                    f"{urlsplit(url).hostname} {reason}; tried {failures} times in a row",
                    where=bare(url),
                    mend="check the network and its proxy, or set endpoint to a mirror; then run the same command "
                    "again: it goes on where it broke off",
                )
            self._tell_again(f"{urlsplit(url).hostname} {reason}")
            self._pause(patience.wait_seconds(failures, self.patience))

    def _check(self, response: httpx.Response, url: str, asked: Asked, taken: Collection[int]) -> None:
        status = response.status_code
        if status in taken:
            return
        wait = patience.asked_seconds(response.headers)
        if wait is not None and status in (429, 503):
            self._hold(min(wait, self.patience.longest_asked_seconds), wait, response)
        if status in PASSING:
            what = "was asked too often" if status == 429 else "is out of order"
            raise Hiccup(f"{what} (status {status})")
        if response.history and _origin(response.url) != _origin(httpx.URL(url)):
            # where a hub redirects to, an address is signed for a while only: the next attempt gets a new one
            raise Hiccup(f"redirects to {response.url.host}, which answers with status {status}")
        raise explain(status, response.headers, asked)

    def _hold(self, wait: float, asked: float, response: httpx.Response) -> None:
        """Let all threads wait; told once."""
        until = time.monotonic() + wait
        if until > self._not_before + 1:
            capped = f", who asks for {asked:,.0f} s" if asked > wait else ""
            why = f"{response.url.host}{capped}: status {response.status_code}, too many requests or out of order"
            self.tell(Chose("wait", f"{wait:.0f} s", why))
        self._not_before = max(self._not_before, until)

    def _tell_again(self, reason: str) -> None:
        """Tell that it is tried again, each reason once: with many connections these lines would bury all others."""
        key = re.sub(r"\d+", "", reason)
        with self._holding:
            is_told = key in self._told_reasons or self._not_before > time.monotonic()  # that wait was told
            self._told_reasons.add(key)
        if not is_told:
            self.tell(Chose("try again", f"up to {self.patience.attempts} times in a row", reason))

    def _pause(self, seconds: float) -> None:
        if self._hung.wait(max(0.0, seconds)):
            raise Hung

    def _words(self, error: Exception, url: str) -> str:
        if self._hung.is_set():
            raise Hung from error
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise FetchError(
                f"{urlsplit(url).hostname} shows a certificate that is not trusted: {_short(error)}",
                where=bare(url),
                mend="if a proxy of yours signs it, set SSL_CERT_FILE to its certificate",
            ) from error
        if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
            raise FetchError(
                f"{_short(error)}", where=bare(url), mend="write an address that begins with https://"
            ) from error
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return f"cannot be reached: {_short(error)}"
        if isinstance(error, httpx.ReadTimeout):
            return f"sent nothing for {self.patience.stall_seconds:.0f} seconds"
        return f"broke off: {_short(error)}"


def bare(url: str) -> str:
    """Give an address without what may be a secret in it: its query and its user."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _short(error: Exception) -> str:
    text = str(error).partition("\n")[0][:SHOWN_CHARACTERS]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _dress(request: httpx.Request) -> None:
    """Put private headers on, or take them off what goes elsewhere; called for each redirect too."""
    origin, private = request.extensions.get("private", (None, NOTHING))
    for name, value in private.items():
        if _origin(request.url) == origin:
            request.headers[name] = value
        else:
            request.headers.pop(name, None)
