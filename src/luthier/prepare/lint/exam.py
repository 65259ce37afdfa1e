"""What `lint.against` names: files of rows, and tasks, which say where their rows are or are given them (TASK=FILE)."""

import fnmatch
import hashlib
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from jinja2 import Environment, TemplateSyntaxError, nodes

from luthier.artifact import atomic
from luthier.errors import DataError, SpecError
from luthier.measure.shipped import find_task
from luthier.measure.task import TaskSpec, read_task
from luthier.prepare.source import SUFFIXES, Source, find_sources

KEY = "lint.against"
TASK_ENDS = (".yaml", ".yml")


@dataclass(frozen=True)
class Exam:
    """One entry of `lint.against`."""

    named: str
    """As it was written."""
    rows: str
    """The path of its rows; '' if it says none."""
    task: TaskSpec | None = None
    file: Path | None = None
    """The file of the task."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the task's prompt, or the claim it puts on trial, is made of; none without a task."""
        if self.task is None:
            return ()
        try:
            tree = Environment(autoescape=True).parse(self.task.prompt or self.task.claim)
        except TemplateSyntaxError as error:
            raise SpecError(
                f"not a template: {error}", where=f"{self.named}, key prompt", mend="write {{ column }}"
            ) from None
        return tuple(dict.fromkeys(name.name for name in tree.find_all(nodes.Name)))

    @property
    def why_no_rows(self) -> tuple[str, str]:
        """Why nothing can be held against it, and how to mend it."""
        if self.task is not None and self.task.has_own_rows:
            source = f" ({self.task.source})" if self.task.source else ""
            return (
                f"{self.named} does not say where its rows are",
                f"write {self.named}=FILE in {KEY}, with the file of its rows{source}",
            )
        return (
            f"{self.named} has no rows of its own: it judges the rows that the split holds back",
            f"name the file of rows of an evaluation set in {KEY}",
        )

    def contents(self) -> dict[str, str]:
        """Give what bears on the outcome, for an order's inputs: '' or `.rows` -> `sha256:...`."""
        found = {"": f"sha256:{atomic.sha256(self.file)}"} if self.file is not None else {}
        if self.rows:
            found[".rows" if found else ""] = _identity(self.rows)
        return found


def find_exam(named: str) -> Exam:
    """Tell a task (a shipped one's name, or a file), with or without its rows, from rows alone.

    Raises SpecError for a name that no shipped task has, and for a bad task file.
    """
    path = Path(named)
    if path.exists() and path.suffix not in TASK_ENDS:
        return Exam(named, named)
    name, _, rows = named.partition("=")
    is_name = re.fullmatch(r"[\w-]+", name) is not None
    if is_name or Path(name).suffix in TASK_ENDS:
        file = find_task(name, KEY)
        task = read_task(file)
        return Exam(name, rows or (str(file.parent / task.rows) if task.rows else ""), task, file)
    return Exam(named, named)


@contextmanager
def opened_exam(exam: Exam) -> Iterator[list[Source]]:
    """Give the files of its rows; those in a zip as long as the context lasts.

    Raises DataError if there are none.
    """
    inside = exam.task.inside if exam.task is not None else ""
    path = Path(exam.rows)
    if path.suffix == ".zip" and path.is_file():
        with TemporaryDirectory(prefix="luthier-") as folder:
            yield _some(_unpacked(path, inside, Path(folder)), exam.rows)
        return
    found = find_sources([exam.rows])
    if inside and path.is_dir():
        found = [one for one in found if fnmatch.fnmatch(one.path.relative_to(path).as_posix(), inside)]
    yield _some(found, exam.rows)


def _unpacked(path: Path, inside: str, folder: Path) -> list[Source]:
    found = []
    try:
        with zipfile.ZipFile(path) as archive:
            for number, name in enumerate(sorted(archive.namelist())):
                source = Source(folder / str(number), f"{path}/{name}")
                if fnmatch.fnmatch(name, inside or "*") and source.suffix in SUFFIXES:
                    source.path.write_bytes(archive.read(name))
                    found.append(source)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:  # broken; packed oddly; locked
        raise DataError(
            f"the zip file cannot be read: {error}", where=f"key {KEY}, {path}", mend="unpack it, and name its files"
        ) from None
    return found


def _some(found: list[Source], rows: str) -> list[Source]:
    if not found:
        raise DataError(
            "it holds no file of rows that fits",
            where=f"key {KEY}, {rows}",
            mend=f"put in files that end in {', '.join(SUFFIXES)}, or change `inside` in the task",
        )
    return found


def _identity(rows: str) -> str:
    path = Path(rows)
    if path.suffix == ".zip" and path.is_file():
        return f"sha256:{atomic.sha256(path)}"
    sources = find_sources([rows])
    if len(sources) == 1:
        return sources[0].identity()
    told = " ".join(f"{source.label} {source.identity()}" for source in sources)
    return f"sha256:{hashlib.sha256(told.encode()).hexdigest()}"
