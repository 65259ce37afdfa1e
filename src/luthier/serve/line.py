"""The line before one model: bounded by tokens, fair between keys, and honest about how long it is."""

import asyncio
import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from luthier.serve.drain import Drain
from luthier.serve.refusal import RefusedError

UNKNOWN_SECONDS = 1.0
"""How long an answer takes, as long as none has been given."""
LONGEST_RETRY_SECONDS = 60
"""The openai client takes no longer advice than this."""


@dataclass(eq=False)
class Ticket:
    """One answer's place in the line."""

    key: str
    tokens: int
    """Of its prompt and of the answer that is wished for."""
    entered: float
    granted: asyncio.Future[None]


class Line:
    """Lets answers to a model, at most `at_once` at a time.

    Among the keys that wait, the next turn is that of the key which has been given the fewest tokens since it began to
    wait (start-time fair queueing): a key with a hundred requests does not hold up one with a single request.
    """

    def __init__(
        self,
        name: str,
        *,
        at_once: int,
        waiting: int,
        waiting_tokens: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.at_once = at_once
        self._most_waiting = waiting
        self._most_tokens = waiting_tokens
        self._clock = clock
        self._drain = Drain(clock)
        self._queues: dict[str, deque[Ticket]] = {}
        self._given: dict[str, float] = defaultdict(float)
        self._level = 0.0
        self._running: dict[Ticket, float] = {}
        self._promised = 0.0
        self._promised_at = clock()

    @property
    def waiting(self) -> int:
        """Answers that wait."""
        return sum(map(len, self._queues.values()))

    @property
    def waiting_tokens(self) -> int:
        """Their tokens."""
        return sum(ticket.tokens for queue in self._queues.values() for ticket in queue)

    @property
    def running(self) -> int:
        """Answers that are being made."""
        return len(self._running)

    @property
    def tokens_per_second(self) -> float | None:
        """How fast the line empties; None as long as it is not known."""
        return self._drain.tokens_per_second

    def wait_seconds(self, key: str, tokens: int) -> float:
        """Give how long an answer of this key would wait for its turn, by the rate at which the line empties."""
        if self.running < self.at_once and not self._queues:
            return 0.0
        own = sum(ticket.tokens for ticket in self._queues.get(key, ()))
        # what stands before it in a fair line: its key's own, and of each other key no more than its own share
        others = (sum(t.tokens for t in queue) for name, queue in self._queues.items() if name != key)
        ahead = own + sum(min(waiting, own + tokens) for waiting in others)
        running = sum(ticket.tokens for ticket in self._running) / 2  # on average they are half done
        return self._seconds(ahead + running)

    def enter(self, key: str, tokens: Sequence[int], patience_seconds: float) -> list[Ticket]:
        """Take a place for each answer of one request, or for none of them.

        Raises RefusedError: 429 where too many wait, 503 where the turn would come later than the request can wait.
        """
        fresh = sum(tokens)
        free = max(0, self.at_once - self.running) if not self._queues else 0
        beyond = max(0, len(tokens) - free)
        if self.waiting + beyond > self._most_waiting:
            raise self._refused(f"{self.waiting} requests wait for {self.name!r} already", 429, fresh)
        waiting_tokens = self.waiting_tokens
        if beyond and waiting_tokens and waiting_tokens + fresh > self._most_tokens:
            raise self._refused(f"{waiting_tokens} tokens wait for {self.name!r} already", 429, fresh)
        # as long as nobody knows how fast the line is, nobody is sent away because it is slow
        seconds = self.wait_seconds(key, fresh) if beyond and self.tokens_per_second else 0.0
        if seconds > patience_seconds:
            what = f"the turn would come in {seconds:.1f} s, and the request waits {patience_seconds:g} s at most"
            raise self._refused(what, 503, fresh, beyond_seconds=seconds - patience_seconds)
        loop = asyncio.get_running_loop()
        tickets = [Ticket(key, count, self._clock(), loop.create_future()) for count in tokens]
        queue = self._queues.get(key)
        if queue is None:
            queue = self._queues[key] = deque()
            self._given[key] = max(self._given[key], self._level)
        queue.extend(tickets)
        self._go_on()
        return tickets

    async def turn(self, ticket: Ticket, patience_seconds: float) -> float:
        """Wait for the turn; gives how long that took. Raises RefusedError (503) if it does not come in time."""
        left = patience_seconds - (self._clock() - ticket.entered)
        try:
            async with asyncio.timeout(max(left, 0.001) if not ticket.granted.done() else None):
                await ticket.granted
        except TimeoutError:
            self.leave(ticket)
            what = f"the turn did not come within {patience_seconds:g} s"
            raise self._refused(what, 503, ticket.tokens) from None
        except asyncio.CancelledError:
            self.leave(ticket)
            raise
        return self._clock() - ticket.entered

    def leave(self, ticket: Ticket) -> None:
        """Give the place, or the turn, back; again is no harm."""
        if ticket in self._running:
            begun = self._running.pop(ticket)
            counts = self._clock() - begun > 0.0
            self._drain.work(bool(self._running or self._queues), ticket.tokens if counts else 0)
        else:
            queue = self._queues.get(ticket.key)
            if queue and ticket in queue:
                queue.remove(ticket)
                if not queue:
                    self._forget(ticket.key)
        self._go_on()

    def _go_on(self) -> None:
        while self._queues and len(self._running) < self.at_once:
            key = min(self._queues, key=self._given.__getitem__)
            queue = self._queues[key]
            ticket = queue.popleft()
            self._level = self._given[key]
            self._given[key] += ticket.tokens
            if not queue:
                self._forget(key)
            if ticket.granted.done():  # cancelled
                continue
            self._drain.work(True)
            self._running[ticket] = self._clock()
            ticket.granted.set_result(None)

    def _forget(self, key: str) -> None:
        """A key that waits no more is remembered only while it is ahead of the others."""
        del self._queues[key]
        if not self._queues:
            self._given.clear()
            self._level = 0.0

    def _seconds(self, tokens: float) -> float:
        rate = self._drain.tokens_per_second
        if rate:
            return tokens / rate
        oldest = min(self._running.values(), default=self._clock())
        one = max(UNKNOWN_SECONDS, self._clock() - oldest)
        return one * math.ceil((self.waiting + 1) / self.at_once)

    def _refused(self, what: str, status: int, tokens: int, beyond_seconds: float = 0.0) -> RefusedError:
        seconds = self._retry_seconds(tokens, beyond_seconds)
        return RefusedError(
            what,
            where="key model",
            mend=f"ask again in {math.ceil(seconds)} s",
            status=status,
            code="rate_limit_exceeded" if status == 429 else "overloaded",
            headers={"Retry-After": str(math.ceil(seconds)), "Retry-After-Ms": str(math.ceil(seconds * 1000))},
        )

    def _retry_seconds(self, tokens: int, beyond_seconds: float) -> float:
        """Give when a refused request has a chance: each one that is sent away is told a later time than the last.

        What was promised empties at the line's own rate, as if it stood in a second line behind the first.
        """
        rate = self._drain.tokens_per_second
        now = self._clock()
        if not rate:
            return min(LONGEST_RETRY_SECONDS, max(1.0, self._seconds(tokens)))
        self._promised = max(0.0, self._promised - rate * (now - self._promised_at))
        self._promised_at = now
        seconds = beyond_seconds + (self._promised + tokens) / rate
        if seconds < LONGEST_RETRY_SECONDS:
            self._promised += tokens
        return min(LONGEST_RETRY_SECONDS, max(0.05, seconds))
