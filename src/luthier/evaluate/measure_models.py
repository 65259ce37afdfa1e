"""The heavy half of an evaluation: ask the models, measure, write the figures and the report."""

import gc
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact import atomic
from luthier.evaluate.ask import Reply
from luthier.evaluate.choose import choose_rows, listed
from luthier.evaluate.find_out import Found, Wanted, find_out
from luthier.evaluate.judged import biases
from luthier.evaluate.question import Question
from luthier.evaluate.report import write_report
from luthier.evaluate.spec import EvaluateSpec
from luthier.evaluate.trials import POOR
from luthier.event import Chose, Compared, Counted, Estimated, Tell, Warned
from luthier.measure import classes, interval
from luthier.measure.filters import apply_filters
from luthier.measure.metric import Floats, Metric, Outcome
from luthier.measure.metrics import bleu_tokenizer
from luthier.measure.task import ALL, HELDOUT, TaskSpec

ALONE = "value"
"""The name of a side that is held against nothing: that of its figure."""
FEW_GROUPS = 20
"""Below so many independent rows an interval itself is a guess."""


@dataclass(frozen=True)
class Side:
    """One model of an evaluation: how it is called in figures ('before', 'after', 'value'), and what asks it."""

    name: str
    ask: Callable[[Sequence[Question]], list[Reply]]


@dataclass(frozen=True)
class Said:
    """What one model did with all rows, made ready for the metrics."""

    replies: Sequence[Reply]
    answers: Sequence[str]
    """After the task's filters."""
    found: Mapping[str, Found]


def measure_models(
    spec: EvaluateSpec,
    task: TaskSpec,
    rows: Sequence[Question],
    sides: Sequence[Side],
    names: Mapping[str, str],
    out: Path,
    wanted: Wanted,
    tell: Tell,
) -> Mapping[str, Any]:
    """Fill `out` with scores.json, answers.jsonl, report.html and task.json. Gives the scores."""
    limits = task.limits if spec.limit is None else {row.tag: spec.limit for row in rows}
    chosen = choose_rows(rows, limits, spec.seed, tell)
    flat = [row for found in chosen.values() for row in found]
    tell(Counted("rows to ask", {tag: len(found) for tag, found in chosen.items()}))
    replies = []
    for side in sides:
        replies.append(side.ask(flat))
        gc.collect()  # the base goes before the tuned model comes: memory for one must do
    said = {side.name: _made_ready(task, flat, one, wanted) for side, one in zip(sides, replies, strict=True)}
    scores, records = {}, []
    parts = _parts(flat, list(chosen))
    _tell_choices({tag: [flat[place] for place in places] for tag, places in parts.items()}, task, tell)
    for tag, places in parts.items():
        part = {name: _part(one, places) for name, one in said.items()}
        of_part = [flat[place] for place in places]
        scores[tag], told = judge(tag, of_part, part, spec, task, wanted.metrics, tell)
        records += told if tag in chosen else []
        if tag not in chosen or len(parts) == len(chosen):  # what is said of all is not said again of each part
            _warn_of_poor(tag, scores[tag], task, tell)
            _warn_of_one_answer(tag, of_part, part, tell)
    atomic.write_json(out / "scores.json", scores)
    atomic.write_json(out / "task.json", task.model_dump(mode="json"))
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    atomic.write_text(out / "answers.jsonl", "".join(lines))
    write_report(out / "report.html", task, names, scores, records, spec.confidence, wanted)
    return scores


def _parts(rows: Sequence[Question], tags: Sequence[str]) -> dict[str, list[int]]:
    """Give the places of each tag's rows; and first of all rows, where there are several tags and no row is without."""
    parts = {tag: [place for place, row in enumerate(rows) if row.tag == tag] for tag in tags}
    whole = {ALL: list(range(len(rows)))} if len(tags) > 1 and not {HELDOUT, ALL} & set(tags) else {}
    return whole | parts


def _made_ready(task: TaskSpec, rows: Sequence[Question], replies: Sequence[Reply], wanted: Wanted) -> Said:
    labels = task.labels or sorted({row.reference.strip() for row in rows})
    answers = [
        _chosen(task, row, reply) if row.options else apply_filters(reply.text, task.filters, labels)
        for row, reply in zip(rows, replies, strict=True)
    ]
    samples = [[apply_filters(text, task.filters, labels) for text in reply.texts] for reply in replies]
    return Said(replies, answers, find_out(task, rows, samples, wanted))


def _chosen(task: TaskSpec, row: Question, reply: Reply) -> str:
    lengths = [len(option.strip().encode()) if task.normalized else 1 for option in row.options]
    scores = [score / length for score, length in zip(reply.options, lengths, strict=True)]
    return row.options[int(np.argmax(scores))].strip()


def _part(said: Said, places: Sequence[int]) -> Said:
    found = {name: one.part(places) for name, one in said.found.items()}
    return Said([said.replies[place] for place in places], [said.answers[place] for place in places], found)


def judge(
    tag: str,
    rows: Sequence[Question],
    said: Mapping[str, Said],
    spec: EvaluateSpec,
    task: TaskSpec,
    metrics: Mapping[str, Metric],
    tell: Tell,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Give a tag's table of figures, and one record a row; a figure that is not finite becomes None."""
    outcomes = {side: _outcome(task, rows, one) for side, one in said.items()}
    groups = [row.group for row in rows]
    table: dict[str, Any] = {}
    records = [_record(row, place, said) for place, row in enumerate(rows)]
    for name in task.metrics:
        metric = metrics[name]
        statistics = {side: metric.statistics(outcome) for side, outcome in outcomes.items()}
        table[name] = _figures(tag, name, metric, statistics, groups, spec, tell)
        _add_row_figures(records, name, metric, statistics)
    more: dict[str, Any] = {
        "cut": {side: sum(reply.finish == "length" for reply in one.replies) for side, one in said.items()}
    }
    if {"macro_f1", "kappa"} & set(task.metrics):
        more["confusion"] = {side: classes.confusion(outcome) for side, outcome in outcomes.items()}
    unjudged = {
        side: {name: found.unjudged for name, found in one.found.items() if found.unjudged is not None}
        for side, one in said.items()
    }
    if any(unjudged.values()):
        more["unjudged"] = unjudged
        _warn_of_unjudged(tag, len(rows), unjudged, tell)
    if task.kind == "judge":
        more["bias"] = {side: biases(one.replies) for side, one in said.items()}
    _warn_of_cut(tag, len(rows), more["cut"], task, tell)
    return {"rows": len(rows), "groups": len(set(groups)), **more, "metrics": table}, records


def _figures(
    tag: str,
    name: str,
    metric: Metric,
    statistics: Mapping[str, Floats],
    groups: Sequence[str],
    spec: EvaluateSpec,
    tell: Tell,
) -> dict[str, Any]:
    drawing: dict[str, Any] = {
        "groups": groups,
        "resamples": spec.bootstrap,
        "seed": spec.seed,
        "confidence": spec.confidence,
    }
    found: interval.Estimate | interval.Comparison
    if ALONE in statistics:
        found = interval.estimate(statistics[ALONE], metric.figure, is_share=metric.is_share, **drawing)
        tell(Estimated(tag=tag, metric=name, rows=len(groups), **asdict(found)))
    else:
        sides = statistics["before"], statistics["after"]
        better = metric.higher_is_better
        found = interval.compare(*sides, metric.figure, higher_is_better=better, **drawing)
        tell(Compared(tag=tag, metric=name, rows=len(groups), **asdict(found)))
    return {key: _finite(value) for key, value in asdict(found).items()}


def _outcome(task: TaskSpec, rows: Sequence[Question], said: Said) -> Outcome:
    return Outcome(
        answers=said.answers,
        references=[row.reference for row in rows],
        log_probabilities=np.asarray([reply.log_probability for reply in said.replies], dtype=np.float64),
        supervised=np.asarray([reply.supervised for reply in said.replies], dtype=np.float64),
        questions=[row.asked for row in rows],
        details=[reply.details for reply in said.replies],
        labels=task.labels,
        measured={name: found.values for name, found in said.found.items()},
    )


def _tell_choices(parts: Mapping[str, Sequence[Question]], task: TaskSpec, tell: Tell) -> None:
    groups = {tag: len({row.group for row in rows}) for tag, rows in parts.items()}
    for tag, rows in parts.items():
        if groups[tag] < len(rows):
            why = f"{len(rows)} rows belong to {groups[tag]} groups, which are right or wrong together"
            tell(Chose(f"bootstrap of {tag}", "by group", why))
        if "bleu" in task.metrics:
            tell(Chose(f"BLEU tokenizer of {tag}", *bleu_tokenizer([row.reference for row in rows])))
    few = {tag: count for tag, count in groups.items() if count < FEW_GROUPS}
    if few:
        most = max(few.values())
        many = f"intervals from {most} or fewer independent rows are"
        whose = f"an interval from {most} independent rows is" if len(few) == 1 else many
        tell(Warned(f"{listed(few)}: {whose} a guess", f"hold out more rows: {FEW_GROUPS} at least, 100 are good"))


def _warn_of_cut(tag: str, rows: int, cut: Mapping[str, int], task: TaskSpec, tell: Tell) -> None:
    side, count = list(cut.items())[-1]
    if count * 2 > rows:
        whose = "" if side == ALONE else "tuned "
        tell(
            Warned(
                f"{tag}: {count} of {rows} {whose}answers were cut off after {task.max_tokens} tokens",
                "raise the task's max_tokens, or check that the end of an answer is learned (luthier prepare --look 3)",
            )
        )


def _warn_of_poor(tag: str, table: Mapping[str, Any], task: TaskSpec, tell: Tell) -> None:
    kappa = table["metrics"].get("kappa", {}).get("value")
    if task.kind == "judge" and kappa is not None and kappa < POOR:
        tell(
            Warned(
                f"{tag}: kappa is low, {kappa:.2f} where {POOR} is the least: this judge of {task.criterion} says what "
                "people say little more often than by chance, and should decide nothing",
                "take another judge (judge=ID or an address), and put that on trial",
            )
        )


def _warn_of_one_answer(tag: str, rows: Sequence[Question], said: Mapping[str, Said], tell: Tell) -> None:
    """A model that answers everything alike did not understand what it was asked."""
    if len(rows) < FEW_GROUPS or len({row.reference for row in rows}) == 1:
        return
    for side, one in said.items():
        answers = set(one.answers)
        if len(answers) == 1 and any(reply.texts or reply.options for reply in one.replies):
            [answer] = answers
            whose = "" if side == ALONE else f" {side}"
            how = f"the same: {answer[:40]!r}" if answer else "empty"
            what = f"{tag}: all {len(rows)} answers{whose} are {how}"
            tell(Warned(what, "read some on the page: mend the prompt or the filters, or take it as the model's fault"))


def _warn_of_unjudged(tag: str, rows: int, unjudged: Mapping[str, Mapping[str, int]], tell: Tell) -> None:
    for side, found in unjudged.items():
        for name, count in found.items():
            if count:
                whose = "" if side == ALONE else f" {side}"
                tell(
                    Warned(
                        f"{tag}: {count} of {rows} answers{whose} are unjudged ({name}): they count 0, a gate refuses",
                        "read why on the page, mend the judge, run the same command: it is asked about them again",
                    )
                )


def _record(row: Question, place: int, said: Mapping[str, Said]) -> dict[str, Any]:
    """One line of answers.jsonl: what was said as it was said, and beside it what was judged where that differs."""
    record: dict[str, Any] = {"id": row.id, "tag": row.tag, "group": row.group, "source": row.source}
    record |= {"question": row.shown, "reference": row.reference}
    notes: dict[str, Any] = {}
    for side, one in said.items():
        reply, answer = one.replies[place], one.answers[place]
        record["answer" if side == ALONE else side] = reply.text or answer
        if reply.text and answer != reply.text:
            notes.setdefault("judged as", {})[side] = answer
        if row.options:
            pairs = zip(row.options, reply.options, strict=True)
            told = ", ".join(f"{option.strip()} {score:.3f}" for option, score in pairs)
            notes.setdefault("log-probabilities", {})[side] = told
        if "reason" in reply.details:
            notes.setdefault("reason", {})[side] = reply.details["reason"]
        for name, found in one.found.items():
            if found.notes[place]:
                notes.setdefault(name, {})[side] = found.notes[place]
    options = {side: list(one.replies[place].options) for side, one in said.items() if row.options}
    record |= {"options": options} if options else {}
    finish = {side: one.replies[place].finish for side, one in said.items()}
    return {**record, "finish": finish, "notes": notes, "metrics": {}, "statistics": {}}


def _add_row_figures(
    records: Sequence[dict[str, Any]], name: str, metric: Metric, statistics: Mapping[str, Floats]
) -> None:
    for side, found_NS in statistics.items():
        for record, value, sums in zip(records, metric.figure(found_NS).tolist(), found_NS.tolist(), strict=True):
            record["metrics"].setdefault(name, {})[side] = _finite(value)
            record["statistics"].setdefault(name, {})[side] = sums


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
