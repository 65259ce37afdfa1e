"""The breaker opens, waits longer each time, tries with one request; the retry budget ends."""

from luthier.serve.breaker import Breaker, RetryBudget
from luthier.serve.spec import BreakerSpec


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def state(breaker: Breaker) -> str:
    return breaker.state


def test_it_opens_after_failures_in_a_row_and_tries_with_one_request() -> None:
    clock = Clock()
    breaker = Breaker(BreakerSpec(failures=3, first_seconds=2, longest_seconds=5), clock)
    for is_well in (False, False, True, False, False):
        assert breaker.lets_through()
        breaker.heard(is_well)
    breaker.heard(False)
    assert not breaker.lets_through()
    clock.now = 2.0
    assert state(breaker) == "half-open"
    assert breaker.lets_through()
    assert not breaker.lets_through()  # one tries, the others wait for what it finds
    breaker.heard(False)
    clock.now = 5.9
    assert state(breaker) == "open"
    clock.now = 6.0
    assert breaker.lets_through()
    breaker.heard(None)  # it never came to show: another may try
    assert breaker.lets_through()
    breaker.heard(False)
    clock.now = 10.9
    assert state(breaker) == "open"  # 5 s at most
    clock.now = 11.0
    assert breaker.lets_through()
    breaker.heard(True)
    assert state(breaker) == "closed"


def test_the_share_of_errors_is_of_the_last_answers() -> None:
    breaker = Breaker(BreakerSpec(failures=100))
    breaker.heard(False)
    assert breaker.error_share == 0.0  # too few to say
    for is_well in (True, True, True):
        breaker.heard(is_well)
    breaker.heard(False)
    assert breaker.error_share == 0.4
    for _ in range(20):
        breaker.heard(True)
    assert breaker.error_share == 0.0


def test_retries_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(0.1)
    assert [budget.spend() for _ in range(11)] == [True] * 10 + [False]
    for _ in range(21):
        budget.earn()
    assert [budget.spend() for _ in range(3)] == [True, True, False]
    assert not RetryBudget(0.0).spend()
