"""Pages of the documentation: what is code in them, what they show, and how one is run from top to bottom."""

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
FENCE = re.compile(r"^```(?P<language>\w*)$")
NOT_RUN = re.compile(r"^<!-- not run: (?P<reason>.+) -->$")
MARK = "@@ block at line "
FIRST = """\
set -euo pipefail
trap 'kill $(jobs -p) 2>/dev/null || true; wait' EXIT
"""


@dataclass(frozen=True)
class Block:
    """One fenced block; `not_run` is the reason why it is only shown."""

    line: int
    language: str
    text: str
    not_run: str = ""


def pages() -> list[Path]:
    """Give every page: the two READMEs and all of docs/."""
    return [REPOSITORY / "README.md", REPOSITORY / "README.zh.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]


def blocks(page: Path) -> Iterator[Block]:
    """Give a page's fenced blocks in their order."""
    before = ""
    language: str | None = None
    begin, lines = 0, list[str]()
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line)
        if language is None and fence:
            language, begin, lines = fence["language"], number, []
            found = NOT_RUN.match(before)
            reason = found["reason"] if found else ""
        elif language is not None and line == "```":
            yield Block(begin, language, "\n".join(lines) + "\n", reason)
            language = None
        elif language is not None:
            lines.append(line)
        before = line


def script(page: Path, folder: Path, port: int) -> str:
    """Give a page's bash and python blocks as one bash script; a marker before each says where its output begins.

    Port 8000 may be taken on this machine: a free one is put in its place.
    """
    parts = [FIRST]
    for block in blocks(page):
        if block.not_run or block.language not in ("bash", "python"):
            continue
        text = block.text.replace("8000", str(port))
        if block.language == "python":
            file = folder / f"block_{block.line}.py"
            file.write_text(text, encoding="utf-8")
            text = f"python {file.name}\n"
        parts.append(f"echo '{MARK}{block.line}'\n{text}")
    return "".join(parts)


def run(page: Path, folder: Path, port: int, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a page's blocks in a folder, one shell for all; talk and data come in one stream."""
    return subprocess.run(
        ["bash", "-c", script(page, folder, port)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=300,
        check=False,
    )


def unshown(page: Path, output: str, port: int) -> list[str]:
    """Give each line of a `text` block which the block of code before it did not print, in this order.

    `...` stands for anything, as in doctest.
    """
    printed = {int(part.partition("\n")[0]): part for part in output.split(MARK)[1:]}
    missing = []
    place = 0
    lines: list[str] = []
    for block in blocks(page):
        if block.language in ("bash", "python"):
            lines = [] if block.not_run else printed[block.line].splitlines()[1:]
            place = 0
        if block.language != "text" or not lines:
            continue
        for shown in block.text.replace("8000", str(port)).splitlines():
            pattern = ".*".join(re.escape(part) for part in shown.strip().split("..."))
            found = (i for i in range(place, len(lines)) if re.fullmatch(pattern, lines[i].strip()))
            at = next(found, None)
            if at is None:
                missing.append(f"{page.name}:{block.line}: {shown}")
            else:
                place = at + 1
    return missing
