"""A failing engine is left alone for a while, then tried with one request; and retries have a budget."""

import time
from collections import deque
from collections.abc import Callable
from typing import Literal

from luthier.serve.spec import BreakerSpec

State = Literal["closed", "open", "half-open"]
REMEMBERED = 20
"""Answers over which the share of failures is counted."""


class Breaker:
    """Counts an engine's failures in a row: opens, stays open for a growing time, lets one request through, closes."""

    def __init__(self, spec: BreakerSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self._spec = spec
        self._clock = clock
        self._in_a_row = 0
        self._opened = 0
        self._until = 0.0
        self._is_probing = False
        self._last: deque[bool] = deque(maxlen=REMEMBERED)

    @property
    def state(self) -> State:
        """closed: requests pass; open: none does; half-open: the next one passes, to try."""
        if not self._opened:
            return "closed"
        return "open" if self._clock() < self._until or self._is_probing else "half-open"

    @property
    def error_share(self) -> float:
        """The share of the last answers that failed; 0 before there were enough to say."""
        return self._last.count(False) / len(self._last) if len(self._last) >= REMEMBERED // 4 else 0.0

    @property
    def retry_seconds(self) -> float:
        """How long an open one stays open."""
        return max(1.0, self._until - self._clock())

    def lets_through(self) -> bool:
        """Whether a request may be sent; the one that tries a half-open engine must be followed by `heard`."""
        if self.state == "open":
            return False
        if self.state == "half-open":
            self._is_probing = True
        return True

    def heard(self, is_well: bool | None) -> None:
        """Note how a request went; None: it never came to the engine's turn to show."""
        if is_well is None:
            self._is_probing = False
            return
        self._last.append(is_well)
        was_probing, self._is_probing = self._is_probing, False
        if is_well:
            self._in_a_row = self._opened = 0
            return
        self._in_a_row += 1
        if was_probing or self._in_a_row >= self._spec.failures:
            seconds = min(self._spec.longest_seconds, self._spec.first_seconds * 2**self._opened)
            self._opened += 1
            self._until = self._clock() + seconds


class RetryBudget:
    """At most a share of the requests is tried again, so that retries never double the load on what is failing."""

    SPARE = 10.0
    """Retries that may be saved up."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._left = self.SPARE if share else 0.0

    def earn(self) -> None:
        """Count a request."""
        self._left = min(self.SPARE, self._left + self._share)

    def spend(self) -> bool:
        """Take one retry; false where none is left."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
