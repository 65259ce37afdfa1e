"""Put questions to one candidate, batch by batch; what it said, and what that cost, is kept at once."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.example import Example
from luthier.engine.ports import ChatModel, Sampling, close, prompt_of
from luthier.event import Progress, Tell, hush

ALONE = 3
"""So many questions are asked one by one first: how long somebody waits for an answer."""


@dataclass(frozen=True)
class Reply:
    """An answer, and its length in tokens where the engine tells it."""

    text: str
    finish: str
    prompt_tokens: int
    tokens: int


@dataclass(frozen=True)
class Batch:
    """Rows that were asked together."""

    ids: tuple[str, ...]
    replies: tuple[Reply, ...]
    seconds: float
    memory_bytes: int
    """How much more the process held after the answers than before the model was opened; 0 if not told."""


@dataclass(frozen=True)
class Asked:
    """All batches of a candidate."""

    batches: tuple[Batch, ...]

    @property
    def replies(self) -> list[Reply]:
        """The answers, in the rows' order."""
        return [reply for batch in self.batches for reply in batch.replies]

    @property
    def latency(self) -> float:
        """Seconds somebody waits for one answer."""
        return median([batch.seconds for batch in self.batches if len(batch.ids) == 1])

    @property
    def seconds(self) -> float:
        """Seconds an answer takes when many are asked at once, where there were so many."""
        many = [batch for batch in self.batches if len(batch.ids) > 1] or list(self.batches)
        return sum(batch.seconds for batch in many) / sum(len(batch.ids) for batch in many)

    @property
    def memory_bytes(self) -> int:
        """The most memory it held."""
        return max(batch.memory_bytes for batch in self.batches)

    @property
    def tokens(self) -> float | None:
        """Tokens an answer takes, prompt included; None where the engine does not tell."""
        counts = [reply.prompt_tokens + reply.tokens for reply in self.replies]
        return sum(counts) / len(counts) if all(reply.prompt_tokens for reply in self.replies) else None


def ask(
    label: str,
    rows: Sequence[Example],
    rows_per_batch: int,
    sampling: Sampling,
    kept: Path,
    open_model: Callable[[], ChatModel],
    tell: Tell,
    *,
    first_alone: int = ALONE,
    closes: bool = True,
    check: Callable[[], None] = lambda: None,
) -> Asked:
    """Ask every row, the first ones alone. The model is opened only if a batch is missing in `kept`, and let go when
    this returns, unless somebody goes on with it (`closes`). `check` raises before a batch is kept that was answered by
    what is no longer as it was."""
    alone = [rows[place : place + 1] for place in range(min(first_alone, len(rows)))]
    rest = [rows[begin : begin + rows_per_batch] for begin in range(len(alone), len(rows), rows_per_batch)]
    parts = [*alone, *rest]
    done = list(_read(kept, parts))
    before = _resident_bytes()
    model: ChatModel | None = None
    try:
        for part in parts[len(done) :]:
            model = model or open_model()
            begun = time.monotonic()
            answers = model.answer([prompt_of(row) for row in part], sampling, hush)
            seconds = time.monotonic() - begun
            replies = tuple(Reply(one.text, one.finish, one.tokens_read, one.tokens_said) for one in answers)
            held = max(0, _resident_bytes() - before)
            check()
            done.append(Batch(tuple(row.id for row in part), replies, seconds, held))
            atomic.append_line(kept, json.dumps(asdict(done[-1]), ensure_ascii=False))
            tell(Progress(f"ask {label}", sum(len(batch.ids) for batch in done), len(rows), "rows"))
    finally:
        if closes:
            close(model)
    return Asked(tuple(done))


def _read(kept: Path, parts: Sequence[Sequence[Example]]) -> Iterator[Batch]:
    """Give the batches that were kept whole, and cut the file after them."""
    lines = kept.read_bytes().split(b"\n")[:-1] if kept.exists() else []
    whole = []
    for line, part in zip(lines, parts, strict=False):
        found: dict[str, Any] = json.loads(line)
        if found["ids"] != [row.id for row in part]:
            break
        whole.append(line.decode() + "\n")
        replies = tuple(Reply(**reply) for reply in found["replies"])
        yield Batch(tuple(found["ids"]), replies, found["seconds"], found["memory_bytes"])
    if kept.exists():
        atomic.write_text(kept, "".join(whole))


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096
    except OSError:
        return 0
