"""Rows per second of multiple choice, beside lm-eval on the same questions, model and precision.

    python bench/evaluate_speed.py --model MODEL_FOLDER --rows mmlu.zip --peer PYTHON [--subject astronomy --limit 40]

`--peer` is the interpreter of an environment of its own that has lm-eval; without the three nothing is measured.
Both load the model before the clock starts, take turns, and give the log-probability of each option.
"""

import argparse
import json
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from luthier.engine.local import open_local
from luthier.evaluate.options import option_scores
from luthier.evaluate.own_rows import read_own
from luthier.evaluate.shipped import find_task
from luthier.event import hush
from luthier.measure.task import read_task

PEER = """
import json, sys, time
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
folder, path, batch = sys.argv[1:]
rows = json.load(open(path))
model = HFLM(pretrained=folder, device="cpu", dtype="float32", batch_size=int(batch))
asked = [Instance("loglikelihood", {}, (row["prompt"], option), 0) for row in rows for option in row["options"]]
begun = time.perf_counter()
found = model.loglikelihood(asked, disable_tqdm=True)
seconds = time.perf_counter() - begun
print("RESULT " + json.dumps({"seconds": seconds, "scores": [score for score, _ in found]}))
"""


def main() -> None:
    """Measure both and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path)
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
    rows = [row for row in read_own(read_task(find_task("mmlu")), given.rows) if row.tag == given.subject]
    rows = rows[: given.limit]
    model = open_local(given.model, name="bench", dtype="float32", device="cpu")
    with TemporaryDirectory() as place:
        path = Path(place) / "rows.json"
        path.write_text(json.dumps([{"prompt": row.prompt, "options": row.options} for row in rows]), encoding="utf-8")
        for _ in range(given.rounds):
            begun = time.perf_counter()
            ours = [score for one in option_scores(model, model, rows, hush) for score in one]
            mine = time.perf_counter() - begun
            command = [str(given.peer), "-c", PEER, str(given.model), str(path), str(given.batch)]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
            peer = json.loads(line.removeprefix("RESULT "))
            apart = max(abs(first - second) for first, second in zip(ours, peer["scores"], strict=True))
            size = len(rows[0].options)
            best = [max(range(size), key=one.__getitem__) for one in _by_row(ours, size)]
            same = best == [max(range(size), key=one.__getitem__) for one in _by_row(peer["scores"], size)]
            print(f"luthier {len(rows) / mine:.2f} rows/s, lm-eval {len(rows) / peer['seconds']:.2f} rows/s, ", end="")
            print(f"ratio {peer['seconds'] / mine:.2f}; log-probabilities apart {apart:.1e}; same choices: {same}")


def _by_row(scores: list[float], size: int) -> list[list[float]]:
    return [scores[begin : begin + size] for begin in range(0, len(scores), size)]


if __name__ == "__main__":
    main()
