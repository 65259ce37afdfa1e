"""Tasks of lm-eval: it runs in an environment of its own, asks the served model, and its rows become ours.

What it says of each row is measured here as everything else is, so its figures get intervals, a page and a pair's gain.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier import sidecar
from luthier.artifact import atomic
from luthier.artifact.store import Artifact, Store
from luthier.engine.remote import RemoteModel
from luthier.errors import DataError, ToolError
from luthier.evaluate.ask import Reply
from luthier.evaluate.find_out import Wanted
from luthier.evaluate.measure_models import ALONE, Side, measure_models
from luthier.evaluate.question import Question
from luthier.evaluate.served import served
from luthier.evaluate.spec import TOOL, EvaluateSpec
from luthier.event import Said, Tell, Warned
from luthier.measure.metric import Floats, Metric, Outcome, ratio
from luthier.measure.task import TaskSpec

SAME = 1e-6
"""How far a mean over rows may lie from the figure that lm-eval gives, to be that figure."""
ROWS_AT_ONCE = 16


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


def measure_lm_eval(
    spec: EvaluateSpec,
    task: TaskSpec,
    given: Mapping[str, Artifact],
    names: Mapping[str, str],
    store: Store,
    out: Path,
    work: Path,
    tell: Tell,
) -> Mapping[str, Any]:
    """Let lm-eval ask each model, one after the other, and fill `out` with what came of it. Gives the scores."""
    sides = {"before": "base", "after": "tuned"} if spec.asks_pair() else {ALONE: "url" if spec.url else "model"}
    told = {side: _told(spec, role, given, store, work / role, tell) for side, role in sides.items()}
    first = next(iter(told.values()))
    metrics = {
        name: metric for name, metric in first.metrics.items() if all(name in one.metrics for one in told.values())
    }
    if not metrics:
        raise DataError(
            "lm-eval gives no figure that is a mean over rows",
            where=f"key evaluate.task: {spec.task}",
            mend="ask a task that has one (accuracy, exact match), or run lm-eval by itself",
        )
    asked = [
        Side(side, lambda rows, one=one: [one.replies[row.id] for row in rows])  # type: ignore[misc]
        for side, one in told.items()
    ]
    atomic.write_json(out / "lm_eval.json", {side: one.results for side, one in told.items()})
    measured = task.model_copy(update={"metrics": tuple(metrics)})
    rows = list(first.questions.values())
    return measure_models(spec, measured, rows, asked, names, out, Wanted({}, metrics=metrics), tell)


def _told(spec: EvaluateSpec, role: str, given: Mapping[str, Artifact], store: Store, work: Path, tell: Tell) -> Told:
    """Run lm-eval on one model, if it has not been; what it answered before a kill is kept in `work`."""
    out = work / "told"
    work.mkdir(parents=True, exist_ok=True)
    if not list(out.rglob("results_*.json")):
        if role == "url":
            remote = RemoteModel(spec.url, spec.name or None)
            remote.close()
            sidecar.call(store.root, TOOL, arguments(spec, remote.url, remote.name, "", work))
        else:
            artifact = given[role]
            tokenizer = tokenizer_of(artifact, store)
            tell(Said(f"lm-eval asks {artifact.id}, served for it"))
            with served(store, artifact.id, work / "serve.log") as address:
                sidecar.call(store.root, TOOL, arguments(spec, address, artifact.id, tokenizer, work))
    found = sorted(out.rglob("results_*.json"))
    if not found:
        raise ToolError("lm-eval told nothing", where=str(out), mend=f"remove {work}, then run this again")
    results = json.loads(found[-1].read_text(encoding="utf-8"))
    samples = {
        path.name.removeprefix("samples_").rpartition("_")[0]: [
            json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line
        ]
        for path in sorted(out.rglob("samples_*.jsonl"))
    }
    return read_told(results, samples, tell)


def tokenizer_of(artifact: Artifact, store: Store) -> str:
    """Give the folder of a model's tokenizer, its own or its base's; '' where only the server knows its tokens."""
    while not (artifact.folder / "tokenizer_config.json").exists():
        base = artifact.order.inputs.get("model", "")
        if artifact.kind != "adapter" or not base:
            return ""
        artifact = store.find(base)
    return str(artifact.folder.absolute())


def arguments(spec: EvaluateSpec, address: str, name: str, tokenizer: str, work: Path) -> list[str]:
    """Give the words of lm-eval's command line. `tokenizer` is a folder; '' where only chats can be asked."""
    is_chat = spec.chat or not tokenizer
    path = "chat/completions" if is_chat else "completions"
    asked = {"model": name, "base_url": f"{address}/{path}", "max_retries": "3", "timeout": "600"}
    if is_chat:
        asked |= {"tokenizer_backend": "None", "tokenized_requests": "False"}
    else:
        asked |= {"tokenizer": tokenizer, "tokenizer_backend": "huggingface", "tokenized_requests": "True"}
    words = ["run", "--model", f"local-{path.replace('/', '-')}"]
    words += ["--model_args", ",".join(f"{key}={value}" for key, value in asked.items())]
    words += ["--tasks", spec.peer, "--batch_size", "1" if is_chat else str(ROWS_AT_ONCE), "--seed", str(spec.seed)]
    words += ["--output_path", str(work / "told"), "--log_samples", "--use_cache", str(work / "kept")]
    words += ["--apply_chat_template"] if is_chat else []
    words += ["--limit", str(spec.limit)] if spec.limit is not None else []
    words += ["--num_fewshot", str(spec.shots)] if spec.shots is not None else []
    return words


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
