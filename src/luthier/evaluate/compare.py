"""The heavy half of an evaluation: ask both models, measure, write the figures and the report."""

import gc
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact import atomic
from luthier.artifact.store import Artifact
from luthier.engine.ports import ChatModel
from luthier.evaluate.ask import Reply, ask
from luthier.evaluate.choose import Row, choose_rows, read_rows
from luthier.evaluate.report import write_report
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Compared, Counted, Tell, Warned
from luthier.measure import interval
from luthier.measure.metrics import Floats, Metric, Outcome, bleu_tokenizer, metrics
from luthier.measure.task import TaskSpec

FEW_GROUPS = 20
"""Below so many independent rows an interval itself is a guess."""


@dataclass(frozen=True)
class Pair:
    """One row with what was said before and after."""

    row: Row
    before: Reply
    after: Reply


def compare_models(
    spec: EvaluateSpec,
    task: TaskSpec,
    base: Artifact,
    tuned: Artifact,
    data: Artifact,
    out: Path,
    work: Path,
    open_model: Callable[[Artifact], ChatModel],
    tell: Tell,
) -> Mapping[str, Any]:
    """Fill `out` with scores.json, answers.jsonl, report.html and task.json. Gives the scores."""
    rows = read_rows(data.folder, spec.split)
    limits = task.limits if spec.limit is None else {row.tag: spec.limit for row in rows}
    chosen = choose_rows(rows, limits, spec.seed, tell)
    flat = [row for found in chosen.values() for row in found]
    tell(Counted("rows to ask", {tag: len(found) for tag, found in chosen.items()}))
    replies = []
    for role, artifact in (("base", base), ("tuned", tuned)):
        kept = work / f"{role}.jsonl"
        replies.append(ask(role, flat, task, spec.seed, kept, partial(open_model, artifact), tell))
        gc.collect()  # the base goes before the tuned model comes: memory for one must do
    pairs = [Pair(*triple) for triple in zip(flat, *replies, strict=True)]
    scores, records = {}, []
    for tag in chosen:
        scores[tag], told = judge(tag, [pair for pair in pairs if pair.row.tag == tag], spec, task, tell)
        records += told
    atomic.write_json(out / "scores.json", scores)
    atomic.write_json(out / "task.json", task.model_dump(mode="json"))
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    atomic.write_text(out / "answers.jsonl", "".join(lines))
    names = {"base": base.id, "tuned": tuned.id, "data": data.id}
    write_report(out / "report.html", task, names, scores, records, spec.confidence)
    return scores


def judge(
    tag: str, pairs: Sequence[Pair], spec: EvaluateSpec, task: TaskSpec, tell: Tell
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give a tag's table of figures, and one record a row; a figure that is not finite becomes None."""
    before, after = (_outcome(pairs, side) for side in ("before", "after"))
    groups = [pair.row.group for pair in pairs]
    counts = {"rows": len(pairs), "groups": len(set(groups))}
    _tell_choices(tag, counts, before.references, task, tell)
    table: dict[str, Any] = {}
    records = [_record(pair) for pair in pairs]
    for name in task.metrics:
        metric = metrics()[name]
        before_NS, after_NS = metric.statistics(before), metric.statistics(after)
        found = interval.compare(
            before_NS,
            after_NS,
            metric.figure,
            higher_is_better=metric.higher_is_better,
            groups=groups,
            resamples=spec.bootstrap,
            seed=spec.seed,
            confidence=spec.confidence,
        )
        tell(Compared(tag=tag, metric=name, rows=len(pairs), **asdict(found)))
        table[name] = {key: _finite(value) for key, value in asdict(found).items()}
        _add_row_figures(records, name, metric, before_NS, after_NS)
    cut = {side: sum(record["finish"][side] == "length" for record in records) for side in ("before", "after")}
    if cut["after"] * 2 > len(pairs):
        tell(
            Warned(
                f"{tag}: {cut['after']} of {len(pairs)} tuned answers were cut off after {task.max_tokens} tokens",
                "raise the task's max_tokens, or check that the end of an answer is learned (luthier prepare --look 3)",
            )
        )
    return {**counts, "cut": cut, "metrics": table}, records


def _outcome(pairs: Sequence[Pair], side: str) -> Outcome:
    replies = [pair.before if side == "before" else pair.after for pair in pairs]
    return Outcome(
        answers=[reply.text for reply in replies],
        references=[pair.row.example.reference for pair in pairs],
        log_probabilities=np.asarray([reply.log_probability for reply in replies], dtype=np.float64),
        supervised=np.asarray([reply.supervised for reply in replies], dtype=np.float64),
        questions=[_last_question(pair.row) for pair in pairs],
        details=[reply.details for reply in replies],
    )


def _last_question(row: Row) -> str:
    return next((turn.content for turn in reversed(row.example.prompt) if turn.role == "user"), "")


def _tell_choices(tag: str, counts: Mapping[str, int], references: Sequence[str], task: TaskSpec, tell: Tell) -> None:
    if counts["groups"] < counts["rows"]:
        why = f"{counts['rows']} rows belong to {counts['groups']} groups, which are right or wrong together"
        tell(Chose(f"bootstrap of {tag}", "by group", why))
    if counts["groups"] < FEW_GROUPS:
        tell(
            Warned(
                f"{tag}: an interval from {counts['groups']} independent rows is a guess",
                f"hold out more rows: {FEW_GROUPS} at least, 100 are good",
            )
        )
    if "bleu" in task.metrics:
        tell(Chose(f"BLEU tokenizer of {tag}", *bleu_tokenizer(references)))


def _record(pair: Pair) -> dict[str, Any]:
    example = pair.row.example
    asked = [message for message in example.prompt if message.role != "system"]
    said = [message.content if len(asked) == 1 else f"{message.role}: {message.content}" for message in asked]
    return {
        "id": example.id,
        "tag": pair.row.tag,
        "source": example.source,
        "question": "\n".join(said),
        "before": pair.before.text,
        "after": pair.after.text,
        "reference": example.reference,
        "finish": {"before": pair.before.finish, "after": pair.after.finish},
        "metrics": {},
    }


def _add_row_figures(
    records: Sequence[dict[str, Any]], name: str, metric: Metric, before_NS: Floats, after_NS: Floats
) -> None:
    sides = zip(records, metric.figure(before_NS).tolist(), metric.figure(after_NS).tolist(), strict=True)
    for record, before, after in sides:
        record["metrics"][name] = {"before": _finite(before), "after": _finite(after)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
