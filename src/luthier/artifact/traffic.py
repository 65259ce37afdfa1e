"""Requests that two releases answered, while one was tried beside the other: what a server writes, line by line.

One JSON object a line in `exchanges.jsonl`. In a shadow trial both answer each request, and users see the stable answer
only; in a canary trial each request is answered by one of the two, and the other side is null.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError
from luthier.event import Tell

NAME = "exchanges.jsonl"
VERSION = 1
"""Raised when the lines' form changes."""
SIDES = ("stable", "canary")


@dataclass(frozen=True)
class Reply:
    """What one release made of a request."""

    text: str
    """The answer; '' where it failed."""
    finish: str
    """Why it ended: 'stop' or 'length'; '' where it failed."""
    seconds: float
    """From the request to the last token, or to the failure."""
    tokens: int = 0
    """New tokens; 0 where the engine does not say."""
    error: str = ""
    """What went wrong; '' where nothing did."""


@dataclass(frozen=True)
class Exchange:
    """One request and its answers."""

    at: str
    """When it came, UTC, ISO 8601."""
    request: str
    """The server's name for it."""
    messages: tuple[Mapping[str, Any], ...]
    """What was asked, as OpenAI's chat completions have it; a plain prompt is one message of a user."""
    stable_id: str
    canary_id: str
    """The two releases."""
    stable: Reply | None
    canary: Reply | None
    """None where this one was not asked."""


def line_of(exchange: Exchange) -> str:
    """Give an exchange as one line of JSON, without its end of line."""
    return json.dumps(asdict(exchange), ensure_ascii=False)


def read_exchanges(path: Path) -> Iterator[Exchange]:
    """Read a file of exchanges; what follows the last end of line is still being written, and left out.

    Raises DataError for a line that cannot be read.
    """
    *lines, _ = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            fields: dict[str, Any] = json.loads(line)
            sides = {side: Reply(**fields[side]) if fields[side] else None for side in SIDES}
            yield Exchange(**{**fields, "messages": tuple(fields["messages"]), **sides})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"the exchange cannot be read: {error}",
                where=f"{path}:{number}",
                mend="see docs/artifacts.md for its form, or remove the line",
            ) from None


def seal_traffic(store: Store, path: Path, tell: Tell) -> Artifact:
    """Make a `traffic` artifact of a file of exchanges; the same exchanges give the same artifact.

    Raises DataError if there are none, or if they are of more than one pair of releases.
    """
    exchanges = list(read_exchanges(path))
    pairs = {(exchange.stable_id, exchange.canary_id) for exchange in exchanges}
    if len(pairs) != 1:
        raise DataError(
            f"the file holds exchanges of {len(pairs)} pairs of releases, not of one",
            where=str(path),
            mend="begin a file for each pair" if pairs else "ask the server something first",
        )
    text = "".join(f"{line_of(exchange)}\n" for exchange in exchanges)
    [(stable, canary)] = pairs

    def build(out: Path, work: Path) -> dict[str, Any]:
        atomic.write_text(out / NAME, text)
        return {"exchanges": len(exchanges), "first": exchanges[0].at, "last": exchanges[-1].at}

    inputs = {"stable": stable, "canary": canary, "exchanges": f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"}
    return store.make(Order("traffic", "serve", VERSION, {}, inputs), build, tell)
