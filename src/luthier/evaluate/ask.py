"""Ask a model all rows, batch by batch; what it said is kept at once, so that a kill loses at most one batch."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.artifact.example import Conversation, Message, plain
from luthier.artifact.tokens import Tokens
from luthier.engine.ports import ChatModel, Prompt, Sampling, Scorer, Spelled, close
from luthier.engine.tools_written import with_place_for_tools
from luthier.errors import KindError
from luthier.evaluate.kept import Kept, key_of
from luthier.evaluate.options import option_scores
from luthier.evaluate.passage import passage_score
from luthier.evaluate.question import Question
from luthier.event import Chose, Event, Progress, Tell
from luthier.measure.metrics import metrics
from luthier.measure.task import TaskSpec


@dataclass(frozen=True)
class Reply:
    """What a model did with one row."""

    texts: tuple[str, ...] = ()
    """Its answers; several where the task samples."""
    finishes: tuple[str, ...] = ()
    """Why each answer ended: 'stop' or 'length'."""
    log_probability: float = 0.0
    """Sum over the row's supervised tokens, in nats."""
    supervised: int = 0
    options: tuple[float, ...] = ()
    """The log-probability of each of the row's options."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to the first answer: a knowledge base's sources."""

    @property
    def text(self) -> str:
        """The first answer, '' where none was asked for."""
        return self.texts[0] if self.texts else ""

    @property
    def finish(self) -> str:
        """Why the first answer ended, '' where none was asked for."""
        return self.finishes[0] if self.finishes else ""


Batch = Sequence[Question]
Found = list[dict[str, Any]]
"""For each row, the fields of a Reply that were found out."""


def ask(
    role: str,
    rows: Sequence[Question],
    task: TaskSpec,
    seed: int,
    kept: Kept,
    open_model: Callable[[], ChatModel],
    tell: Tell,
) -> list[Reply]:
    """Give a model's reply to each row, in the rows' order; `role` ('base', 'tuned') is told with the progress.

    The model is opened only if an answer is missing, and let go when this returns.
    Raises KindError for a model that cannot do what the task asks.
    """
    ways = _ways(task)
    keys = {(way, row.id): f"{way}-{_key(way, row)}" for row in rows for way in ways}
    order = in_order([row for row in rows if any(keys[way, row.id] not in kept for way in ways)], task)
    batches = [order[begin : begin + task.rows_per_batch] for begin in range(0, len(order), task.rows_per_batch)]
    done = len(rows) - len(order)
    model: ChatModel | None = None
    onward = _but_progress(tell)
    try:
        for batch in batches:
            model = model or open_model()
            found: dict[str, Any] = {}
            for way in ways:
                missing = [row for row in batch if keys[way, row.id] not in kept]
                said = WAYS[way](model, missing, task, seed, onward) if missing else []
                found.update({keys[way, row.id]: one for row, one in zip(missing, said, strict=True)})
            kept.add(found)
            done += len(batch)
            tell(Progress(f"ask {role}", done, len(rows), "rows"))
    finally:
        close(model)
    return [_reply([kept[keys[way, row.id]] for way in ways]) for row in rows]


def how(task: TaskSpec, seed: int) -> dict[str, Any]:
    """Give, as plain JSON, what an answer depends on beside the model and the row."""
    drawn = {"temperature": task.temperature, "seed": seed, "samples": task.samples} if task.temperature else {}
    return {"kind": task.kind, "max_tokens": task.max_tokens, "stop": list(task.stop), **drawn}


def _ways(task: TaskSpec) -> list[str]:
    if task.kind == "choice":
        return ["choose"]
    needs = {metrics()[name].needs for name in task.metrics}
    score = "passage" if task.kind == "perplexity" and task.has_own_rows else "score"
    return [*(["answer"] if needs - {"log_probabilities"} else []), *([score] if "log_probabilities" in needs else [])]


def _answer(model: ChatModel, batch: Batch, task: TaskSpec, seed: int, tell: Tell) -> Found:
    prompts = with_place_for_tools(model, [row.prompt for row in batch if row.prompt is not None], tell)
    drawn = []
    for place in range(task.samples):
        sampling = Sampling(max_tokens=task.max_tokens, temperature=task.temperature, stop=task.stop, seed=seed + place)
        drawn.append(model.answer(prompts, sampling, tell))
    return [
        {
            "texts": [one.text for one in answers],
            "finishes": [one.finish for one in answers],
            "details": dict(answers[0].details),
        }
        for answers in zip(*drawn, strict=True)
    ]


def _score(model: ChatModel, batch: Batch, task: TaskSpec, seed: int, tell: Tell) -> Found:
    scored = {row.id: row.tokens for row in batch if row.tokens is not None and row.tokens.supervised}
    values = scorer_of(model).score(list(scored.values()), tell) if scored else []
    found = {name: (math.fsum(one.tolist()), len(one)) for name, one in zip(scored, values, strict=True)}
    sums = [found.get(row.id, (0.0, 0)) for row in batch]
    return [{"log_probability": total, "supervised": count} for total, count in sums]


def _choose(model: ChatModel, batch: Batch, task: TaskSpec, seed: int, tell: Tell) -> Found:
    scorer, speller = scorer_of(model), speller_of(model)
    return [{"options": scores} for scores in option_scores(scorer, speller, batch, tell)]


def _passage(model: ChatModel, batch: Batch, task: TaskSpec, seed: int, tell: Tell) -> Found:
    scorer, speller = scorer_of(model), speller_of(model)
    found = [passage_score(scorer, speller, row, task.max_tokens, tell) for row in batch]
    return [{"log_probability": total, "supervised": count} for total, count in found]


WAYS: dict[str, Callable[[ChatModel, Batch, TaskSpec, int, Tell], Found]] = {
    "answer": _answer,
    "score": _score,
    "choose": _choose,
    "passage": _passage,
}
"""What may be asked of a model about a row."""


def scorer_of(model: ChatModel) -> Scorer:
    """Give the model as one whose log-probabilities can be asked. Raises KindError if they cannot."""
    if not isinstance(model, Scorer):
        raise KindError(
            f"{model.name} does not tell how likely given tokens are",
            where="the task's kind and metrics",
            mend="ask a model in this process (an artifact's id), or a task whose metrics need answers only",
        )
    return model


def speller_of(model: ChatModel) -> Spelled:
    """Give the model as one whose tokens are known here. Raises KindError if they are not."""
    if not isinstance(model, Spelled):
        raise KindError(
            f"{model.name} does not tell its tokens",
            where="the task's kind",
            mend="ask a model in this process (an artifact's id), or a task of the kind chat or text",
        )
    return model


def _key(way: str, row: Question) -> str:
    if way == "score":
        tokens = row.tokens
        return key_of(None if tokens is None else [tokens.ids.tolist(), tokens.mask.astype(int).tolist()])
    return key_of([_plain(row.prompt), list(row.options)])


def _plain(prompt: Prompt | None) -> Any:
    if isinstance(prompt, Conversation):
        return {"messages": plain(prompt.messages), "tools": list(prompt.tools)}
    if isinstance(prompt, tuple):
        return plain([part for part in prompt if isinstance(part, Message)])
    return prompt


def in_order(rows: Sequence[Question], task: TaskSpec) -> list[Question]:
    """Give rows in the order in which they are asked: longest first, so that rows of one length share a batch, and too
    little memory shows at once, not at the end.

    A choice's rows go tag by tag, the tag of the longest first: the solved rows shown before each are those of its
    tag, and what a batch begins with alike is read once.
    """
    sizes = {row.id: _size(row) for row in rows}
    first: dict[str, tuple[int, str]] = {}
    if task.kind == "choice":
        for row in rows:
            first[row.tag] = min(sizes[row.id], first.get(row.tag, sizes[row.id]))
    return sorted(rows, key=lambda row: (first.get(row.tag, (0, "")), row.tag if first else "", sizes[row.id]))


def _size(row: Question) -> tuple[int, str]:
    tokens: Tokens | None = row.tokens
    size = len(tokens.ids) if tokens is not None else len(str(row.prompt))
    return -size, row.id


def _reply(parts: Sequence[dict[str, Any]]) -> Reply:
    fields: dict[str, Any] = {name: value for part in parts for name, value in part.items()}
    lists = {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
    return Reply(**(fields | lists))


def _but_progress(tell: Tell) -> Tell:
    chosen: set[str] = set()

    def onward(event: Event) -> None:
        if isinstance(event, Progress):  # an engine counts within a batch: ours counts the whole
            return
        if isinstance(event, Chose):  # each batch chooses anew, by a row of its own, and the same
            if event.what in chosen:
                return
            chosen.add(event.what)
        tell(event)

    return onward
