"""What a run tells while it runs: typed events, handed downward as `tell`, kept in one `events.jsonl`.

The terminal renders them, the browser tails the file, trackers and tests read it. Nothing is called upward.
"""

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any


@dataclass(frozen=True)
class Started:
    """A stage begins to make an artifact."""

    stage: str
    id: str


@dataclass(frozen=True)
class Skipped:
    """The artifact is there already: nothing was made."""

    stage: str
    id: str
    folder: str


@dataclass(frozen=True)
class Made:
    """An artifact is whole on disk."""

    stage: str
    id: str
    folder: str
    seconds: float


@dataclass(frozen=True)
class Chose:
    """A choice made for the user, and the reason."""

    what: str
    value: str
    why: str


@dataclass(frozen=True)
class Progress:
    """How far a countable piece of work has come."""

    what: str
    done: int
    total: int
    unit: str
    per_second: float | None = None
    seconds_left: float | None = None


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    step: int
    steps: int
    epoch: float
    loss: float
    """Mean over the supervised tokens of the step, in nats."""
    grad_norm: float
    """Before clipping."""
    rate: float
    tokens_per_second: float
    seconds_left: float
    dev_loss: float | None = None
    memory_bytes: int = 0
    """Resident memory of the process, or what a GPU's allocator holds."""
    tasks: Mapping[str, float] = field(default_factory=dict)
    """Tag -> mean loss of the step's rows of that tag, where rows have several tags."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """More figures by name, where some were taken: general_loss, word_f1."""


@dataclass(frozen=True)
class Counted:
    """How many rows (tokens, answers ...) went where."""

    what: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Compared:
    """One metric before and after, with the paired interval of the difference."""

    tag: str
    metric: str
    before: float
    after: float
    gain: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Estimated:
    """One metric of one model, with its interval."""

    tag: str
    metric: str
    value: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True)
class Judged:
    """One line of the gate."""

    rule: str
    value: str
    passed: bool


@dataclass(frozen=True)
class Called:
    """A tool was called."""

    tool: str
    arguments: str
    """As JSON."""
    outcome: str
    """done, or failed."""
    output: str
    seconds: float


@dataclass(frozen=True)
class Warned:
    """Something a person should know, with a mend."""

    what: str
    mend: str


@dataclass(frozen=True)
class Said:
    """A plain sentence: where something lies, what to type next."""

    text: str


@dataclass(frozen=True)
class Failed:
    """The run ended with an error."""

    what: str
    where: str
    mend: str


Event = (
    Started
    | Skipped
    | Made
    | Chose
    | Progress
    | Step
    | Counted
    | Compared
    | Estimated
    | Judged
    | Called
    | Warned
    | Said
    | Failed
)
Tell = Callable[[Event], None]


def hush(event: Event) -> None:
    """Tell nobody."""


def to_json(event: Event, now: float) -> str:
    """Give the event as one line of JSON: its name, the time (seconds since 1970), its fields; no number is null."""
    fields = {
        # JSON knows no NaN and no infinity (RFC 8259, section 6): browsers could not read the line
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(event).items()
    }
    return json.dumps({"event": type(event).__name__, "at": round(now, 3), **fields}, ensure_ascii=False)


KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in Event.__args__}


def from_json(line: str) -> Event:
    """Read one line of `events.jsonl`."""
    fields = json.loads(line)
    kind = KINDS[fields.pop("event")]
    fields.pop("at")
    made: Event = kind(**fields)
    return made


@dataclass
class EventFile:
    """Writes events to a file as they come and hands them on."""

    path: Path
    onward: Tell = hush
    _file: IO[str] = field(init=False, repr=False)

    def __enter__(self) -> Tell:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8", buffering=1)
        return self._tell

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def _tell(self, event: Event) -> None:
        self._file.write(to_json(event, time.time()) + "\n")
        self.onward(event)
