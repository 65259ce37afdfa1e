"""The text of scanned pages, by a tool in an environment of its own."""

import os
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from luthier import sidecar
from luthier.index.parsed import Parsed

TOOL = "ocrmypdf"
MEND = f"luthier setup {TOOL} (it calls Debian's tesseract-ocr and ghostscript), then the same command again"
LANGUAGES = ("eng", "chi_sim", "chi_tra", "jpn", "kor", "deu", "fra", "spa", "ita", "rus")
"""What tesseract is asked to look for, of those that are installed: every one more takes longer."""
MOST_LANGUAGES = 3

ReadRecognised = Callable[[Callable[[Path], Parsed], Path], Parsed]
"""Reads a file once its scanned pages have text."""


def recogniser(project: Path) -> ReadRecognised | None:
    """Give what recognises scanned pages; None where the tool is not set up in this project."""
    return partial(_recognise, project) if sidecar.is_ready(project, TOOL) else None


def _recognise(project: Path, read: Callable[[Path], Parsed], path: Path) -> Parsed:
    """Put text behind the pages that have none, and read that. Raises ToolError where the tool fails."""
    with TemporaryDirectory() as folder:
        made = Path(folder) / path.name
        languages = ["-l", "+".join(found)] if (found := _languages()) else []
        jobs = str(os.cpu_count() or 1)
        options = ["--quiet", "--skip-text", "--output-type", "pdf", "--optimize", "0", "--jobs", jobs, *languages]
        sidecar.call(project, TOOL, [*options, str(path), str(made)])
        return read(made)


def _languages() -> list[str]:
    """Give the first languages of ours that tesseract has."""
    try:
        done = subprocess.run(["tesseract", "--list-langs"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return []  # the tool says so itself, and better
    installed = done.stdout.split()
    return [language for language in LANGUAGES if language in installed][:MOST_LANGUAGES]
