"""How fast a line empties: measured while there is work, forgetting slowly."""

import time
from collections.abc import Callable

HALF_LIFE_SECONDS = 60.0


class Drain:
    """Tokens that left a line (answered, as they were counted when they came) for each second in which it had work."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._tokens = 0.0
        self._seconds = 0.0
        self._since = clock()
        self._is_busy = False

    def work(self, is_busy: bool, tokens: int = 0) -> None:
        """Note that the line has work from now on (or has none), and how many tokens just left it."""
        now = self._clock()
        passed = now - self._since
        kept = 0.5 ** (passed / HALF_LIFE_SECONDS) if self._is_busy else 1.0
        self._tokens = self._tokens * kept + tokens
        self._seconds = self._seconds * kept + (passed if self._is_busy else 0.0)
        self._since = now
        self._is_busy = is_busy

    @property
    def tokens_per_second(self) -> float | None:
        """The rate; None while nothing has left the line yet."""
        return self._tokens / self._seconds if self._tokens and self._seconds else None
