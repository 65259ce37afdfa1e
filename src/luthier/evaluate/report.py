"""The report: one HTML page that needs nothing else, with the figures on top and the answers side by side."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from luthier.artifact import atomic
from luthier.evaluate.find_out import Wanted
from luthier.measure.metric import Metric
from luthier.measure.task import TaskSpec

SAME = 1e-9
"""A change no larger than this is none: what adding in another order may leave."""
MANY_TAGS = 4
"""Of more tags than these all but the first table are folded up."""
SIDES = {"before": "Before", "after": "After", "value": "Answer"}


def write_report(
    path: Path,
    task: TaskSpec,
    names: Mapping[str, str],
    scores: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    confidence: float,
    wanted: Wanted,
) -> None:
    """Write the page. `names` says what was asked, by role; `scores` and `records` as in their files."""
    metrics = wanted.metrics
    order = row_metric(task, metrics)
    better = metrics[order].higher_is_better
    is_pair = "tuned" in names
    rows = [_with_change(record, order, better, is_pair) for record in records]
    rows.sort(key=lambda row: (row["change"] is None, row["change"] or 0.0, row["id"]))
    is_yes_or_no = not is_pair and all(row["state"] in ("lowest", "highest") for row in rows)
    names_of = {"lowest": "wrong", "highest": "right"} if is_yes_or_no else {}
    states = ("worse", "same", "better") if is_pair else ("lowest", "between", "highest")
    page = _template().render(
        task=task,
        names=names,
        is_pair=is_pair,
        tables={tag: _table(scores[tag], metrics, is_pair) for tag in scores},
        rows=rows,
        order=metrics[order].label,
        counts=[(state, names_of.get(state, state), sum(row["state"] == state for row in rows)) for state in states],
        has_answers=any(metrics[name].needs != "log_probabilities" for name in task.metrics),
        confidence=f"{confidence:.0%}",
        trials=wanted.trials,
        many=MANY_TAGS,
        tags=list(dict.fromkeys(record["tag"] for record in records)),
    )
    atomic.write_text(path, page)


@cache
def _template() -> Template:
    # What a model says is a stranger's text: everything is escaped, and the page forbids itself every other source
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.jinja")


def row_metric(task: TaskSpec, metrics: Mapping[str, Metric]) -> str:
    """Give the metric that orders the rows: the first that has a figure of its own for each row, else the first."""
    return next((name for name in task.metrics if not metrics[name].is_corpus), task.metrics[0])


def _with_change(record: Mapping[str, Any], order: str, higher_is_better: bool, is_pair: bool) -> dict[str, Any]:
    """A row with what orders it: how much better it got, or how good it is, the worst first."""
    figures = record["metrics"][order]
    sign = 1 if higher_is_better else -1
    change, state = None, "same" if is_pair else "between"
    if None not in figures.values():
        change = sign * (figures["after"] - figures["before"] if is_pair else figures["value"])
    if change is not None and is_pair and abs(change) > SAME:
        state = "better" if change > 0 else "worse"
    elif change is not None and not is_pair and change in (0, 1):
        state = "highest" if change else "lowest"
    sides = [
        {"label": SIDES[side], "text": record["answer" if side == "value" else side], "finish": finish,
         "notes": _notes(record, side)}
        for side, finish in record["finish"].items()
    ]  # fmt: skip
    return {**record, "figures": figures, "change": change, "state": state, "sides": sides}


def _notes(record: Mapping[str, Any], side: str) -> list[tuple[str, str]]:
    notes: Mapping[str, Any] = record.get("notes", {})
    return [(name, str(said[side])) for name, said in notes.items() if side in said]


def _table(scores: Mapping[str, Any], metrics: Mapping[str, Metric], is_pair: bool) -> dict[str, Any]:
    lines = [
        {"label": metrics[name].label, "higher": metrics[name].higher_is_better, **found}
        | (_drawing(found) if is_pair else {"marks": None, "verdict": "plain"})
        for name, found in scores["metrics"].items()
    ]
    confusion = [(SIDES[side], matrix) for side, matrix in scores.get("confusion", {}).items()]
    cut = [(SIDES[side].lower(), count) for side, count in scores["cut"].items()]
    unjudged = [
        (SIDES[side].lower(), name, count)
        for side, found in scores.get("unjudged", {}).items()
        for name, count in found.items()
    ]
    leanings = [(SIDES[side], found) for side, found in scores.get("bias", {}).items()]
    return {**scores, "leanings": leanings, "lines": lines, "matrices": confusion, "cut": cut, "unjudged": unjudged}


def _drawing(found: Mapping[str, float | None]) -> dict[str, Any]:
    """Where the interval stands on a line from 0 to 100 with no gain at 50, and what it says."""
    gain, low, high = (found[key] for key in ("gain", "low", "high"))
    if gain is None or low is None or high is None:
        return {"marks": None, "verdict": "unknown"}
    reach = max(abs(gain), abs(low), abs(high)) or 1.0
    marks = [round(50 + 46 * value / reach, 2) for value in (low, gain, high)]
    return {"marks": marks, "verdict": "better" if low > 0 else "worse" if high < 0 else "open"}
