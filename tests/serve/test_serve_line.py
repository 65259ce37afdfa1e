"""The line before a model: its bounds, its fairness, and what it says of its own length."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from luthier.serve.line import Line, Ticket
from luthier.serve.refusal import RefusedError


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(work)


def line(clock: Clock, *, at_once: int = 1, waiting: int = 100, waiting_tokens: int = 10**6) -> Line:
    return Line("m", at_once=at_once, waiting=waiting, waiting_tokens=waiting_tokens, clock=clock)


def one(of: Line, key: str = "a", tokens: int = 10, patience: float = 1000) -> Ticket:
    [ticket] = of.enter(key, [tokens], patience)
    return ticket


def test_as_many_run_at_once_as_the_engine_takes_and_the_next_follows_in_its_turn() -> None:
    async def work() -> None:
        of = line(Clock(), at_once=2)
        tickets = [one(of) for _ in range(4)]
        assert [ticket.granted.done() for ticket in tickets] == [True, True, False, False]
        assert (of.running, of.waiting, of.waiting_tokens) == (2, 2, 20)
        of.leave(tickets[1])
        assert [ticket.granted.done() for ticket in tickets] == [True, True, True, False]
        for ticket in tickets:
            of.leave(ticket)
            of.leave(ticket)  # again is no harm
        assert (of.running, of.waiting) == (0, 0)

    run(work())


def test_a_key_with_one_request_does_not_wait_for_another_keys_hundred() -> None:
    async def work() -> None:
        of = line(Clock())
        running = one(of, "flood")
        flood = [one(of, "flood") for _ in range(50)]
        alone = one(of, "alone")
        of.leave(running)
        [second] = [ticket for ticket in (*flood, alone) if ticket.granted.done()]
        of.leave(second)
        assert alone.granted.done() or second is alone

    run(work())


def test_turns_are_shared_by_tokens_not_by_requests() -> None:
    async def work() -> None:
        of = line(Clock())
        first = one(of, "other", 1)
        big = [one(of, "big", 100) for _ in range(10)]
        small = [one(of, "small", 10) for _ in range(10)]
        of.leave(first)
        granted: list[Ticket] = []
        for _ in range(12):
            [now] = [t for t in (*big, *small) if t.granted.done() and t not in granted]
            granted.append(now)
            of.leave(now)
        given = {key: sum(t.tokens for t in granted if t.key == key) for key in ("big", "small")}
        assert given["small"] == 100  # all ten, before the second or third of the big ones
        assert given["big"] == 200

    run(work())


def test_one_request_too_many_is_refused_and_so_are_too_many_tokens() -> None:
    async def work() -> None:
        of = line(Clock(), waiting=1, waiting_tokens=100)
        one(of)
        one(of)
        with pytest.raises(RefusedError, match="1 requests wait for 'm' already") as caught:
            one(of)
        assert caught.value.status == 429
        wide = line(Clock(), waiting_tokens=100)
        one(wide)
        one(wide, tokens=90)
        with pytest.raises(RefusedError, match="90 tokens wait for 'm' already"):
            one(wide, tokens=20)
        one(wide, tokens=10)

    run(work())


def test_several_answers_of_one_request_find_room_together_or_not_at_all() -> None:
    async def work() -> None:
        of = line(Clock(), at_once=2, waiting=1)
        with pytest.raises(RefusedError):
            of.enter("a", [1] * 4, 1000)
        assert (of.running, of.waiting) == (0, 0)
        of.enter("a", [1] * 3, 1000)
        assert (of.running, of.waiting) == (2, 1)

    run(work())


def test_the_wait_is_what_stands_before_it_at_the_rate_that_was_measured() -> None:
    async def work() -> None:
        clock = Clock()
        of = line(clock)
        first = one(of, tokens=50)
        clock.now += 5
        of.leave(first)
        assert of.tokens_per_second == pytest.approx(10)
        one(of, tokens=40)
        one(of, "a", tokens=60)
        # half of what runs, then its own key's 60; of another key's no more than its own share
        assert of.wait_seconds("a", 10) == pytest.approx((20 + 60) / 10)
        assert of.wait_seconds("b", 10) == pytest.approx((20 + 10) / 10)

    run(work())


def test_who_cannot_be_in_time_is_refused_at_once_and_told_when_to_come() -> None:
    async def work() -> None:
        clock = Clock()
        of = line(clock)
        first = one(of, tokens=100)
        clock.now += 10  # 10 tokens a second
        of.leave(first)
        one(of, tokens=100)
        for _ in range(3):
            one(of, tokens=100)
        with pytest.raises(RefusedError, match=r"the turn would come in 35.0 s, and the request waits 5 s") as caught:
            one(of, tokens=100, patience=5)
        assert caught.value.status == 503
        assert caught.value.headers["Retry-After"] == str(30 + 10)  # too late by 30 s, and its own 10 s of the line
        with pytest.raises(RefusedError) as later:
            one(of, tokens=100, patience=5)
        assert later.value.headers["Retry-After"] == str(30 + 20)  # the first was promised the time before
        clock.now += 10
        with pytest.raises(RefusedError) as again:
            one(of, tokens=100, patience=5)
        assert int(again.value.headers["Retry-After"]) < 30 + 30

    run(work())


def test_a_turn_that_does_not_come_in_time_is_given_up() -> None:
    async def work() -> None:
        of = Line("m", at_once=1, waiting=9, waiting_tokens=99, clock=time.monotonic)
        one(of)
        late = one(of, patience=0.05)
        with pytest.raises(RefusedError, match=r"the turn did not come within 0.05 s") as caught:
            await of.turn(late, 0.05)
        assert (caught.value.status, of.waiting) == (503, 0)
        assert int(caught.value.headers["Retry-After"]) >= 1

    run(work())
