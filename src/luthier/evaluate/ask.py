"""Ask a model all rows, batch by batch; what it said is kept at once, so that a kill loses at most one batch."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.example import Conversation
from luthier.engine.ports import ChatModel, Prompt, Sampling, Scorer
from luthier.errors import KindError
from luthier.evaluate.choose import Row
from luthier.event import Event, Progress, Tell
from luthier.measure.metrics import metrics
from luthier.measure.task import TaskSpec


@dataclass(frozen=True)
class Reply:
    """What a model did with one row."""

    text: str
    finish: str
    """Why the answer ended: 'stop', 'length', or '' where the task asks for none."""
    log_probability: float
    """Sum over the row's supervised tokens, in nats."""
    supervised: int
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to the answer, where a metric reads it: a knowledge base's sources."""


def ask(
    role: str,
    rows: Sequence[Row],
    task: TaskSpec,
    seed: int,
    kept: Path,
    open_model: Callable[[], ChatModel],
    tell: Tell,
) -> list[Reply]:
    """Give a model's reply to each row, in the rows' order; `role` ('base', 'tuned') is told with the progress.

    `kept` holds one line a batch. Batches are cut the same way every time, so that a resumed evaluation gives what a
    straight one gives even where an engine's rounding depends on who shares a batch. The model is opened only if a
    batch is missing, and let go when this returns.
    """
    # Longest first: rows of one length share a batch, and too little memory shows at once, not at the end
    order = sorted(range(len(rows)), key=lambda place: (-len(rows[place].tokens.ids), rows[place].example.id))
    size = task.rows_per_batch
    batches = [[rows[place] for place in order[begin : begin + size]] for begin in range(0, len(order), size)]
    replies = _read_kept(kept, batches)
    model: ChatModel | None = None
    for batch in batches[len(replies) :]:
        model = model or open_model()
        replies.append(_ask_batch(model, batch, task, seed, tell))
        atomic.append_line(kept, _line(batch, replies[-1]))
        tell(Progress(f"ask {role}", sum(map(len, replies)), len(rows), "rows"))
    flat = [reply for batch in replies for reply in batch]
    by_place = dict(zip(order, flat, strict=True))
    return [by_place[place] for place in range(len(rows))]


def _ask_batch(model: ChatModel, batch: Sequence[Row], task: TaskSpec, seed: int, tell: Tell) -> list[Reply]:
    needs = {metrics()[name].needs for name in task.metrics}
    if "log_probabilities" in needs and not isinstance(model, Scorer):
        raise KindError(
            f"{model.name} tells no log-probabilities, which {_scored(task)} needs",
            where="key task",
            mend="give a task without it (task=grounded measures answers from documents)",
        )

    def tell_but_progress(event: Event) -> None:
        if not isinstance(event, Progress):  # an engine counts within a batch: ours counts the whole
            tell(event)

    said: list[tuple[str, str]] = [("", "")] * len(batch)
    details: list[Mapping[str, Any]] = [{}] * len(batch)
    if needs & {"answers", "sources"}:
        sampling = Sampling(max_tokens=task.max_tokens, temperature=task.temperature, stop=task.stop, seed=seed)
        answers = model.answer([_prompt(row) for row in batch], sampling, tell_but_progress)
        said = [(answer.text, answer.finish) for answer in answers]
        details = [answer.details for answer in answers] if "sources" in needs else details
    sums: list[tuple[float, int]] = [(0.0, 0)] * len(batch)
    scored = [place for place, row in enumerate(batch) if row.tokens.supervised]
    if isinstance(model, Scorer) and "log_probabilities" in needs and scored:
        found = model.score([batch[place].tokens for place in scored], tell_but_progress)
        for place, log_probabilities in zip(scored, found, strict=True):
            sums[place] = (math.fsum(log_probabilities.tolist()), len(log_probabilities))
    return [Reply(*answer, *total, more) for answer, total, more in zip(said, sums, details, strict=True)]


def _scored(task: TaskSpec) -> str:
    return next(name for name in task.metrics if metrics()[name].needs == "log_probabilities")


def _prompt(row: Row) -> Prompt:
    """What is asked: the row's messages, and the tools it may call where it has some."""
    example = row.example
    return Conversation(example.prompt, example.tools) if example.tools else example.prompt


def _line(batch: Sequence[Row], replies: Sequence[Reply]) -> str:
    lines = {"ids": [row.example.id for row in batch], "replies": [asdict(reply) for reply in replies]}
    return json.dumps(lines, ensure_ascii=False)


def _read_kept(kept: Path, batches: Sequence[Sequence[Row]]) -> list[list[Reply]]:
    """Read the batches that are whole, and cut off what a kill left half written."""
    if not kept.exists():
        return []
    lines = kept.read_bytes().split(b"\n")
    whole: list[list[Reply]] = []
    for line, batch in zip(lines[:-1], batches, strict=False):  # what follows the last newline was never whole
        found: dict[str, Any] = json.loads(line)
        if found["ids"] != [row.example.id for row in batch]:
            break
        whole.append([Reply(**reply) for reply in found["replies"]])
    if len(whole) < len(lines) - 1 or lines[-1]:
        atomic.write_text(kept, "".join(line.decode() + "\n" for line in lines[: len(whole)]))
    return whole
