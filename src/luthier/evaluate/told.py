"""What lm-eval told of each row, as questions, replies and metrics of ours.

So its figures get intervals, a page and a pair's gain as everything else does.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from luthier.errors import DataError
from luthier.evaluate.ask import Reply
from luthier.evaluate.question import Question
from luthier.evaluate.spec import TOOL
from luthier.event import Tell, Warned
from luthier.measure.metric import Floats, Metric, Outcome, ratio

SAME = 1e-6
"""How far a mean over rows may lie from the figure that lm-eval gives, to be that figure."""
KEPT = ("results", "higher_is_better", "versions", "n-shot", "n-samples")
"""What of lm-eval's own results is the same at every run."""


@dataclass(frozen=True)
class Told:
    """What lm-eval told of one model."""

    questions: Mapping[str, Question]
    replies: Mapping[str, Reply]
    metrics: Mapping[str, Metric]
    """Those that are means over rows; each reads a row's figure out of its reply."""
    results: Mapping[str, Any]
    """As it wrote them."""


def read_told(results: Mapping[str, Any], samples: Mapping[str, Sequence[Mapping[str, Any]]], tell: Tell) -> Told:
    """Turn what lm-eval wrote into questions, replies and metrics.

    Raises DataError if it holds no row.
    """
    questions: dict[str, Question] = {}
    rows: dict[str, dict[str, Any]] = {}
    for task, lines in samples.items():
        for line in lines:
            key = f"{task}:{line['doc_id']}"
            questions.setdefault(key, _question(task, key, line, is_tagged=len(samples) > 1))
            row = rows.setdefault(key, {"text": _answer(line), "figures": {}})
            row["figures"] |= {_name(metric, line["filter"]): line[metric] for metric in line["metrics"]}
    if not rows:
        raise DataError(
            "lm-eval told of no row", where=", ".join(results.get("results", {})), mend="ask more of the task's rows"
        )
    found = _means(results, rows, tell)
    replies = {
        key: Reply((row["text"],), ("stop",), details={TOOL: {name: float(row["figures"][name]) for name in found}})
        for key, row in rows.items()
    }
    return Told(questions, replies, found, {key: results[key] for key in KEPT if key in results})


def _means(results: Mapping[str, Any], rows: Mapping[str, Mapping[str, Any]], tell: Tell) -> dict[str, Metric]:
    """Give a metric for each figure that is a mean over a task's rows, in every task that has it; others are told."""
    found: dict[str, Metric] = {}
    for task, figures in results["results"].items():
        own = [row["figures"] for key, row in rows.items() if key.startswith(f"{task}:")]
        for key, value in figures.items():
            metric, _, chosen = key.partition(",")
            if not own or not chosen or metric.endswith("_stderr"):
                continue
            name = _name(metric, chosen)
            if not _is_mean([row.get(name) for row in own], value):
                tell(
                    Warned(
                        f"{task}: {key} is {value}, which is no mean over rows: it has no interval", "see lm_eval.json"
                    )
                )
                continue
            higher = results.get("higher_is_better", {}).get(task, {}).get(metric)
            label = f"{metric} (lm-eval)" if chosen == "none" else f"{metric} (lm-eval, {chosen})"
            found[name] = _of_rows(label, name, higher is not False)
    return {name: metric for name, metric in found.items() if all(name in row["figures"] for row in rows.values())}


def _is_mean(values: Sequence[Any], figure: Any) -> bool:
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    return len(numbers) == len(values) and math.isclose(sum(numbers) / len(numbers), figure, abs_tol=SAME)


def _of_rows(label: str, name: str, higher_is_better: bool) -> Metric:
    def statistics(outcome: Outcome) -> Floats:
        return np.asarray([(details[TOOL][name], 1.0) for details in outcome.details], dtype=np.float64).reshape(-1, 2)

    return Metric(label, "answers", higher_is_better, False, statistics, ratio)


def _name(metric: str, chosen: str) -> str:
    """A name that rules of a gate can say: `exact_match_strict_match`."""
    return re.sub(r"\W+", "_", metric if chosen == "none" else f"{metric}_{chosen}")


def _question(task: str, key: str, line: Mapping[str, Any], *, is_tagged: bool) -> Question:
    asked = [part["arg_0"] for part in line["arguments"].values()]
    options = tuple(str(part.get("arg_1", "")) for part in line["arguments"].values())
    target = line["target"]
    if isinstance(target, int | str) and str(target).isdecimal() and len(options) > 1 and int(target) < len(options):
        target = options[int(target)].strip()
    return Question(
        id=key, source=key, shown=_last_turn(asked[0]), reference=str(target), label=task if is_tagged else ""
    )


def _last_turn(prompt: Any) -> str:
    """What a person reads of a prompt: all of a text, of a chat its last turn."""
    try:
        turns = json.loads(prompt) if isinstance(prompt, str) else prompt
        return str(turns[-1]["content"])
    except (ValueError, LookupError, TypeError):
        return str(prompt)


def _answer(line: Mapping[str, Any]) -> str:
    """The likeliest option, or what was said."""
    said = line["filtered_resps"]
    options = [str(part.get("arg_1", "")) for part in line["arguments"].values()]
    scores = [float(one[0]) for one in said] if said and all(isinstance(one, list) for one in said) else []
    if len(scores) > 1 and len(scores) == len(options):
        return options[int(np.argmax(scores))].strip()
    return str(said[0]) if said else ""
