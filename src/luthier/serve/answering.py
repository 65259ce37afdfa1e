"""The answers to one request while they are made: their places in the line, their pieces, and what is measured."""

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from luthier.engine.ports import Piece, Prompt, Sampling
from luthier.serve.metrics import Metrics
from luthier.serve.pieces import Gone, pieces
from luthier.serve.refusal import RefusedError, status_of
from luthier.serve.shelf import Served

Said = tuple[int, list[Piece]]
"""The number of an answer, and what it said since last time."""


@dataclass(frozen=True)
class Wish:
    """One answer that is asked for."""

    prompt: Prompt
    sampling: Sampling
    tokens: int
    """Of the prompt and of the wished answer."""


class Answering:
    """Lets the answers run, each as soon as it is its turn; once `said` is closed, they stop."""

    def __init__(
        self,
        served: Served,
        wishes: Sequence[Wish],
        *,
        key: str,
        key_kind: str,
        patience_seconds: float,
        stuck_seconds: float,
        metrics: Metrics,
        arrived: float,
    ) -> None:
        """Take the places in the line. Raises RefusedError if there is no room, or not in time."""
        self.served = served
        self.key_kind = key_kind
        self.metrics = metrics
        self.arrived = arrived
        self._wishes = wishes
        self._patience = patience_seconds
        self._stuck = stuck_seconds
        self._gone = [Gone() for _ in wishes]
        self.is_stopped = False
        self._last = 0.0
        self._started: set[int] = set()
        if not served.breaker.lets_through():
            raise left_alone(served)
        self._is_judged = False
        try:
            self._tickets = served.line.enter(key, [wish.tokens for wish in wishes], patience_seconds)
        except RefusedError:
            served.breaker.heard(None)
            raise
        served.hold()

    def stop(self) -> None:
        """Stop every engine that works for it, at its next token."""
        self.is_stopped = True
        for gone in self._gone:
            gone.say()

    async def said(self) -> AsyncGenerator[Said, None]:
        """Give what the answers say as it comes, each in its own order. Raises what an engine raises."""
        try:
            if len(self._wishes) == 1:
                async with aclosing(self._one(0)) as one:
                    async for fresh in one:
                        yield 0, fresh
            else:
                async with aclosing(self._several()) as several:
                    async for said in several:
                        yield said
        except Exception as error:
            self._judge(False if is_engines_fault(error) else None)
            raise
        finally:
            for gone in self._gone:
                gone.say()
            for number, ticket in enumerate(self._tickets):
                if number not in self._started:  # one that has a thread leaves when the thread is free
                    self.served.line.leave(ticket)
            self._judge(None)
            self.served.let_go()

    async def _one(self, number: int) -> AsyncGenerator[list[Piece], None]:
        ticket, wish, line = self._tickets[number], self._wishes[number], self.served.line
        waited = await line.turn(ticket, self._patience)
        self.metrics.queued.labels(self.served.name, self.key_kind).observe(waited)
        self.served.last_progress = time.monotonic()
        running = pieces(
            self.served.model,
            wish.prompt,
            wish.sampling,
            self.served.pool,
            gone=self._gone[number],
            released=lambda: line.leave(ticket),
            stuck_seconds=self._stuck,
        )
        self._started.add(number)
        async with aclosing(running):
            async for fresh in running:
                self._measure(fresh)
                yield fresh

    def _measure(self, fresh: Sequence[Piece]) -> None:
        now = time.monotonic()
        self.served.last_progress = now
        self._judge(True)
        labels = (self.served.name, self.key_kind)
        count = sum(len(piece.token_ids) for piece in fresh)
        if not self._last:
            self.metrics.first.labels(*labels).observe(now - self.arrived)
        elif count and len(self._wishes) == 1:
            self.metrics.between.labels(*labels).observe((now - self._last) / count)
        self._last = now
        self.metrics.said_tokens.labels(*labels).inc(count)
        for piece in fresh:
            if piece.answer is not None:
                self.metrics.prompt_tokens.labels(*labels).inc(piece.answer.tokens_read)
                if not piece.answer.token_ids:  # no piece could tell how many it brought
                    self.metrics.said_tokens.labels(*labels).inc(piece.answer.tokens_said)

    def _judge(self, is_well: bool | None) -> None:
        """Tell the breaker once how it went."""
        if not self._is_judged:
            self._is_judged = True
            self.served.breaker.heard(is_well)

    async def _several(self) -> AsyncGenerator[Said, None]:
        """Let all answers run side by side, as many at once as the engine takes."""
        box: asyncio.Queue[Said | BaseException | None] = asyncio.Queue()

        async def run(number: int) -> None:
            try:
                async with aclosing(self._one(number)) as one:
                    async for fresh in one:
                        box.put_nowait((number, fresh))
                box.put_nowait(None)
            except Exception as error:  # carried to the request that asked
                box.put_nowait(error)

        tasks = [asyncio.ensure_future(run(number)) for number in range(len(self._wishes))]
        try:
            for _ in range(len(tasks)):
                while (item := await box.get()) is not None:
                    if isinstance(item, BaseException):
                        raise item
                    yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def left_alone(served: Served) -> RefusedError:
    """Give the refusal of an engine that is left alone for now."""
    seconds = str(round(served.breaker.retry_seconds + 0.5))
    return RefusedError(
        f"the engine of {served.name!r} failed again and again and is left alone for now",
        where="key model",
        mend=f"ask again in {seconds} s, or ask another model",
        status=503,
        code="engine_failing",
        headers={"Retry-After": seconds},
    )


def is_engines_fault(error: Exception) -> bool:
    """Whether an engine failed, and not the request or its place in the line."""
    return not isinstance(error, RefusedError) and status_of(error) >= 500


def unfinished(name: str) -> RefusedError:
    """Give the error of an answer whose engine ended without its last piece."""
    return RefusedError(
        f"the engine of {name!r} ended before its answer was whole",
        where="the engine",
        mend="ask again",
        status=503,
        code="engine_failing",
    )
