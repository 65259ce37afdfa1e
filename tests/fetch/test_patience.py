"""Waits between attempts, and those a server asks for."""

import time
from email.utils import formatdate

import pytest

from luthier.fetch.patience import Patience, asked_seconds, wait_seconds


def test_waits_double_up_to_the_longest_and_spread() -> None:
    patience = Patience(first_wait_seconds=1, longest_wait_seconds=10)
    for failures, middle in ((1, 1), (2, 2), (3, 4), (4, 8), (5, 10), (9, 10)):
        waits = [wait_seconds(failures, patience) for _ in range(200)]
        assert all(middle * 0.5 <= wait <= middle * 1.5 for wait in waits)
        assert max(waits) - min(waits) > middle * 0.5


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "12"}, 12),
        ({"ratelimit": '"api";r=0;t=55'}, 55),  # draft-ietf-httpapi-ratelimit-headers-09, section 4
        ({"ratelimit": '"api";r=3;t=55'}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_a_wait_is_read_from_the_headers(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_seconds(headers) == seconds


def test_a_wait_may_be_a_date() -> None:
    asked = asked_seconds({"retry-after": formatdate(time.time() + 60, usegmt=True)})
    assert asked is not None
    assert 58 < asked <= 60
    assert asked_seconds({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
