"""How long to bear with a network: attempts, waits between them, and the wait that a server asks for."""

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime


@dataclass(frozen=True)
class Patience:
    """Bounds of one transfer."""

    attempts: int = 6
    """In a row that were slow, or broke off before `slow_bytes` had come; any other begins the count anew."""
    first_wait_seconds: float = 0.5
    """Before the second attempt; doubled for each further one."""
    longest_wait_seconds: float = 30.0
    longest_asked_seconds: float = 300.0
    """Of what a server may ask for by Retry-After."""
    connect_seconds: float = 10.0
    stall_seconds: float = 30.0
    """Without a byte, after which a connection is given up."""
    slow_seconds: float = 60.0
    slow_bytes: int = 1000
    """Fewer than these in so many seconds: the connection is slow, and given up. Fewer in all: the attempt counts as
    one that brought nothing, else a byte each time would keep it going for ever."""


PATIENCE = Patience()


def wait_seconds(failures: int, patience: Patience) -> float:
    """Give the wait after so many failures in a row: doubled each time, times 0.5 to 1.5 so that callers spread."""
    wait = min(patience.longest_wait_seconds, patience.first_wait_seconds * 2 ** (failures - 1))
    return float(wait * random.uniform(0.5, 1.5))


def asked_seconds(headers: Mapping[str, str]) -> float | None:
    """Give the wait a server asks for, or None.

    Retry-After holds seconds or an HTTP date (RFC 9110, section 10.2.3); the hub writes `RateLimit: "api";r=0;t=55`
    (draft-ietf-httpapi-ratelimit-headers-09), t being seconds.
    """
    text = headers.get("retry-after", "").strip()
    if text.isdigit():
        return float(text)
    if text:
        try:
            return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
        except ValueError:
            return None
    limit = re.search(r"\br=0\s*;\s*t=(\d+)", headers.get("ratelimit", ""))
    return float(limit[1]) if limit else None
