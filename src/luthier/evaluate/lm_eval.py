"""Tasks of lm-eval: it runs in an environment of its own, asks the served model, and its rows become ours."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier import sidecar
from luthier.artifact import atomic
from luthier.artifact.seal import verify_whole
from luthier.artifact.store import Artifact, Store
from luthier.engine.remote import RemoteModel
from luthier.errors import DataError, StoreError, ToolError
from luthier.evaluate.find_out import Wanted
from luthier.evaluate.measure_models import ALONE, Side, measure_models
from luthier.evaluate.served import served
from luthier.evaluate.spec import TOOL, EvaluateSpec
from luthier.evaluate.told import Told, read_told
from luthier.event import Said, Tell
from luthier.measure.task import TaskSpec
from luthier.retrieve.state import check_unchanged, state_in

ROWS_AT_ONCE = 16


def measure_lm_eval(
    spec: EvaluateSpec,
    task: TaskSpec,
    given: Mapping[str, Artifact],
    names: Mapping[str, str],
    store: Store,
    out: Path,
    work: Path,
    choices: Mapping[str, str],
    tell: Tell,
) -> Mapping[str, Any]:
    """Let lm-eval ask each model, one after the other, and fill `out` with what came of it. Gives the scores."""
    sides = {"before": "base", "after": "tuned"} if spec.asks_pair() else {ALONE: "url" if spec.url else "model"}
    told = {side: _told(spec, role, given, store, work / role, choices, tell) for side, role in sides.items()}
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


def _told(
    spec: EvaluateSpec,
    role: str,
    given: Mapping[str, Artifact],
    store: Store,
    work: Path,
    choices: Mapping[str, str],
    tell: Tell,
) -> Told:
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
            verify_whole(store, artifact)
            tokenizer = tokenizer_of(artifact, store)
            tell(Said(f"lm-eval asks {artifact.id}, served for it"))
            with served(store, artifact.id, work / "serve.log") as address:
                sidecar.call(store.root, TOOL, arguments(spec, address, artifact.id, tokenizer, work))
            try:
                check_unchanged(store, [artifact], state_in(choices, store, artifact))
            except StoreError:
                shutil.rmtree(work)  # what another state answered is not to be gone on with
                raise
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
        config = Path(tokenizer) / "config.json"
        context = (
            json.loads(config.read_text(encoding="utf-8")).get("max_position_embeddings") if config.exists() else 0
        )
        asked |= {"max_length": str(context)} if context else {}
    words = ["run", "--model", f"local-{path.replace('/', '-')}"]
    words += ["--model_args", ",".join(f"{key}={value}" for key, value in asked.items())]
    words += ["--tasks", spec.peer, "--batch_size", "1" if is_chat else str(ROWS_AT_ONCE), "--seed", str(spec.seed)]
    words += ["--output_path", str(work / "told"), "--log_samples", "--use_cache", str(work / "kept")]
    words += ["--apply_chat_template"] if is_chat else []
    words += ["--limit", str(spec.limit)] if spec.limit is not None else []
    words += ["--num_fewshot", str(spec.shots)] if spec.shots is not None else []
    return words
