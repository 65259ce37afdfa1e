"""Rows per second of a whole evaluation, beside lm-eval on the same task, questions, model and precision.

    python bench/evaluate_speed.py --project .luthier --model ID --rows mmlu.zip --peer PYTHON [--subject astronomy]

The task is one subject of MMLU with five solved questions before each. lm-eval asks it through its `hf` model type, out
of a local YAML file and local rows; `--peer` is an interpreter that has it, and torch. Both have loaded the model
before the clock starts, take turns, and write down the score of each option. Without the three nothing is measured.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from luthier.artifact.store import Artifact, Store
from luthier.engine.local import open_local
from luthier.evaluate.files import read_raw
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import hush
from luthier.measure.shipped import find_task

BAR = 1.5
PEER = """
import json, sys, time
from lm_eval import simple_evaluate
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
folder, place, batch = sys.argv[1:]
model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=int(batch))
tasks = TaskManager(include_path=place, include_defaults=False)
begun = time.perf_counter()
found = simple_evaluate(model=model, tasks=["subject"], task_manager=tasks, bootstrap_iters=0, verbosity="ERROR")
seconds = time.perf_counter() - begun
rows = sorted(found["samples"]["subject"], key=lambda row: row["doc_id"])
scores = [[score for score, _ in row["filtered_resps"]] for row in rows]
print("RESULT " + json.dumps({"seconds": seconds, "scores": scores, "acc": found["results"]["subject"]["acc,none"]}))
"""
TASK = """\
task: subject
dataset_path: json
dataset_kwargs: {data_files: {dev: DEV, test: TEST}}
test_split: test
fewshot_split: dev
fewshot_config: {sampler: first_n}
num_fewshot: 5
output_type: multiple_choice
doc_to_text: "{{question}}\\nA. {{choice0}}\\nB. {{choice1}}\\nC. {{choice2}}\\nD. {{choice3}}\\nAnswer:"
doc_to_choice: [A, B, C, D]
doc_to_target: "{{answer|int}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def main() -> None:
    """Measure both in turn and print a line a round."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--project", type=Path, default=Path(".luthier"))
    parser.add_argument("--model")
    parser.add_argument("--rows", type=Path)
    parser.add_argument("--subject", default="astronomy")
    parser.add_argument("--limit", type=int, default=40)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peer", type=Path)
    given = parser.parse_args()
    if not (given.model and given.rows and given.peer):
        print("evaluate_speed: not measured: give --model, --rows and --peer")
        return
    model = Store(given.project).find(given.model, "model")
    opened = open_local(model.folder, name=model.id, dtype="float32", device="cpu")
    with TemporaryDirectory() as place:
        prepare(given.rows, given.subject, given.limit, Path(place))
        for number in range(given.rounds):
            ours = ask_here(model, lambda artifact: opened, Path(place), given.limit, number)
            theirs = ask_there(given.peer, model.folder, Path(place), given.batch)
            tell(ours, theirs)


def prepare(rows: Path, subject: str, limit: int, place: Path) -> None:
    """Write the same questions for both: a task and rows for each."""
    for split, most in (("dev", 5), ("test", limit)):
        found = [row.columns for row in read_raw(rows, f"{split}/{subject}_{split}.csv")][:most]
        text = "".join(json.dumps(row) + "\n" for row in found)
        (place / f"{split}.jsonl").write_text(text, encoding="utf-8")
    named = TASK.replace("DEV", str(place / "dev.jsonl")).replace("TEST", str(place / "test.jsonl"))
    (place / "subject.yaml").write_text(named, encoding="utf-8")
    lines = find_task("mmlu").read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if not line.startswith(("inside", "shots", "tag"))]
    ours = "\n".join([*kept, "rows: test.jsonl", "shots: {count: 5, file: dev.jsonl}"])
    (place / "ours.yml").write_text(ours, encoding="utf-8")


def ask_here(model: Artifact, open_model: Any, place: Path, limit: int, number: int) -> Mapping[str, Any]:
    """Evaluate anew, in a project of its own, with an open model."""
    store = Store(place / f"project{number}")
    spec = EvaluateSpec(task=str(place / "ours.yml"), alone=True, limit=limit)
    begun = time.perf_counter()
    made = evaluate(spec, None, None, None, model, store, hush, open_model)
    seconds = time.perf_counter() - begun
    told = [json.loads(line) for line in (made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    told.sort(key=lambda row: int(row["source"].rpartition(":")[2]))
    scores = [row["options"]["value"] for row in told]
    return {"seconds": seconds, "scores": scores, "acc": made.card.figures["heldout"]["metrics"]["accuracy"]["value"]}


def ask_there(peer: Path, model: Path, place: Path, batch: int) -> Mapping[str, Any]:
    """Let lm-eval do the same."""
    command = [str(peer), "-c", PEER, str(model.absolute()), str(place), str(batch)]
    clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    found: Mapping[str, Any] = json.loads(line.removeprefix("RESULT "))
    return found


def tell(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Print what came of one round."""
    rows = len(theirs["scores"])
    pairs = list(zip(ours["scores"], theirs["scores"], strict=True))
    apart = max(abs(a - b) for one, other in pairs for a, b in zip(one, other, strict=True))
    same = sum(best(one) == best(other) for one, other in pairs)
    mine, peer = rows / ours["seconds"], rows / theirs["seconds"]
    bar = f"{BAR} {'reached' if mine / peer >= BAR else 'missed'}"
    print(f"luthier {mine:.2f} rows/s, lm-eval {peer:.2f} rows/s, ratio {mine / peer:.2f} ({bar})")
    print(f"  accuracy {ours['acc']:.6f} and {theirs['acc']:.6f}, {same} of {rows} choices the same, ", end="")
    print(f"log-probabilities at most {apart:.1e} apart", flush=True)


def best(scores: Sequence[float]) -> int:
    """Give the place of the likeliest option."""
    return max(range(len(scores)), key=scores.__getitem__)


if __name__ == "__main__":
    main()
