"""`python:stdlib` and `python:PACKAGE`: raw question/answer rows from docstrings, which every machine has."""

import json
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.errors import DataError, FetchError
from luthier.event import Counted, Tell
from luthier.fetch.found import Found, HashFile
from luthier.fetch.package import package_folders, package_version
from luthier.fetch.questions import PHRASINGS, make_rows
from luthier.fetch.spec import FetchSpec

SCAN = Path(__file__).parent / "docstring_scan.py"
STDLIB = "stdlib"
TIMEOUT_SECONDS = 300
BYTES_PER_STDLIB = 5_000_000


def look(spec: FetchSpec, name: str, hash_file: HashFile) -> Found:
    """Find what has docstrings. Raises FetchError if the package is not installed.

    Rows hang on the version of Python and of the package: both are part of what is ordered.
    """
    choices = {"python": f"{platform.python_version()} {sys.platform}"}
    if name != STDLIB:
        package_folders(name)
        choices["package"] = f"{name} {package_version(name)}"

    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        rows, counts = make_rows(_scan(name, work))
        tell(Counted("documented objects", counts))
        if not rows:
            raise DataError(
                f"nothing in {name!r} has a docstring that says what it does ({counts})",
                where="fetch, key source",
                mend="name a package whose functions are documented, or python:stdlib",
            )
        with (out / "rows.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        kinds = Counter(row["kind"] for row in {row["function"]: row for row in rows}.values())
        phrasings = Counter(row["phrasing"] for row in rows)
        return {"rows": len(rows), "objects": counts, "kinds": dict(kinds), "phrasings": dict(phrasings)}

    return Found("rows", bring, {"phrasings": f"sha256:{atomic.sha256(PHRASINGS)}"}, choices)


def expected_bytes(spec: FetchSpec, name: str) -> int | None:
    """Give the bytes of the rows (about), known for the standard library only."""
    return BYTES_PER_STDLIB if name == STDLIB else None


def _scan(name: str, work: Path) -> list[dict[str, str]]:
    """Import and list in a process of its own, which may not talk to the network: -I also leaves out this folder."""
    command = [sys.executable, "-I", "-W", "ignore", str(SCAN), name.replace("-", "_")]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", cwd=work, timeout=TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        raise FetchError(
            f"importing {name!r} did not end within {TIMEOUT_SECONDS} seconds",
            where="fetch, key source",
            mend="name a smaller package",
        ) from None
    if done.returncode != 0:
        raise FetchError(
            f"listing {name!r} ended with status {done.returncode}: {done.stderr.strip()[-200:]}",
            where=f"fetch, key source, process {' '.join(command)}",
            mend="run that command by hand to see why, or name another package",
        )
    return [json.loads(line) for line in done.stdout.splitlines()]
