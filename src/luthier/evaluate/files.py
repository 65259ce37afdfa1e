"""Raw rows out of a task's file: JSON, JSON lines, CSV, TSV, lines of text; .gz, and zip files and folders of such."""

import csv
import fnmatch
import gzip
import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from luthier.errors import DataError
from luthier.measure.task import BesideSpec, TaskSpec, fingerprint


@dataclass(frozen=True)
class RawRow:
    """One row as it was written."""

    columns: dict[str, Any]
    source: str
    """`file:line`."""


def read_raw(path: Path, inside: str = "") -> list[RawRow]:
    """Read all rows of a file, or of the files in a zip or a folder that `inside` fits.

    Each has its columns, and `_file`, the name of its file without its ending. Raises DataError for a file that is
    missing, of no known form, or broken.
    """
    files = list(_files(path, inside))
    if not files:
        raise DataError(
            f"no file in it fits {inside!r}", where=str(path), mend="give the files' names: inside: 'test/*.csv'"
        )
    return [row for name, text in files for row in _rows(name, text)]


def read_beside(task: TaskSpec, path: Path, rows: list[RawRow]) -> list[RawRow]:
    """Put the rows of other files beside each row. Raises DataError where they do not fit together."""
    for column, beside in task.beside.items():
        other = _beside(path, beside)
        found = read_raw(other)
        values = [row.columns["text"] if row.columns.keys() == {"text", "_file"} else row.columns for row in found]
        if not beside.by:
            if len(values) != len(rows):
                raise DataError(
                    f"it has {len(values)} rows, the rows' own file {len(rows)}",
                    where=str(other),
                    mend="give the file that belongs to the rows, or say by which column they belong together (by: id)",
                )
            rows = [RawRow({**row.columns, column: value}, row.source) for row, value in zip(rows, values, strict=True)]
            continue
        by_key = {row.columns.get(beside.there or beside.by): value for row, value in zip(found, values, strict=True)}
        lacking = next((row for row in rows if row.columns.get(beside.by) not in {*by_key, ""}), None)
        if lacking is not None:
            raise DataError(
                f"no row of {other.name} has {beside.there or beside.by} = {lacking.columns.get(beside.by)!r}",
                where=lacking.source,
                mend="give the file that belongs to these rows",
            )
        rows = [RawRow({**row.columns, column: by_key.get(row.columns.get(beside.by))}, row.source) for row in rows]
    return rows


def shuffle(column: str, rows: list[RawRow]) -> list[RawRow]:
    """Give each row twice: as it is, and with the value of the row half the file away that has another."""
    found = []
    for place, row in enumerate(rows):
        own = row.columns.get(column)
        others = (rows[(place + len(rows) // 2 + step) % len(rows)].columns.get(column) for step in range(len(rows)))
        other = next((value for value in others if value != own), None)
        found.append(RawRow({**row.columns, "_shuffled": False}, row.source))
        if other is not None:
            found.append(RawRow({**row.columns, column: other, "_shuffled": True}, row.source))
    return found


def _files(path: Path, inside: str) -> Iterator[tuple[str, str]]:
    if path.is_dir() or path.suffix == ".zip":
        yield from _members(path, inside)
        return
    yield str(path), _text(path.name, path.read_bytes(), str(path))


def _members(path: Path, inside: str) -> Iterator[tuple[str, str]]:
    if path.is_dir():
        for member in sorted(path.rglob("*")):
            name = member.relative_to(path).as_posix()
            if member.is_file() and fnmatch.fnmatch(name, inside or "*"):
                yield str(member), _text(name, member.read_bytes(), str(member))
        return
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/") and fnmatch.fnmatch(name, inside or "*"):
                    yield f"{path}/{name}", _text(name, archive.read(name), f"{path}/{name}")
    except zipfile.BadZipFile as error:
        raise DataError(f"it is no zip file: {error}", where=str(path), mend="bring it again") from None


def _text(name: str, data: bytes, where: str) -> str:
    try:
        return (gzip.decompress(data) if name.endswith(".gz") else data).decode("utf-8-sig")
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"it cannot be read: {error}", where=where, mend="bring it again, as UTF-8") from None


def _beside(path: Path, beside: BesideSpec) -> Path:
    return path.parent / beside.file.replace("{name}", _stem(path.name))


def _stem(name: str) -> str:
    return Path(name.removesuffix(".gz")).stem


def _rows(name: str, text: str) -> list[RawRow]:
    suffix = Path(name.removesuffix(".gz")).suffix
    reader = READERS.get(suffix)
    if reader is None:
        raise DataError(
            f"files ending in {suffix!r} are not understood",
            where=name,
            mend=f"give one ending in {', '.join(READERS)} (.gz may follow), a zip or a folder of such",
        )
    stem = Path(_stem(name)).name
    return [RawRow({**columns, "_file": stem}, f"{name}:{line}") for line, columns in reader(name, text)]


def _json_lines(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, written in enumerate(text.split("\n"), start=1):
        if written.strip():
            try:
                yield line, _columns(json.loads(written))
            except ValueError as error:
                raise DataError(f"not JSON: {error}", where=f"{name}:{line}", mend="mend the line") from None


def _json(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """One list of rows, a list under `data`, or JSON lines under a name that does not say so."""
    try:
        value = json.loads(text)
    except ValueError:
        yield from _json_lines(name, text)
        return
    rows = value.get("data", [value]) if isinstance(value, dict) else value
    for number, row in enumerate(rows if isinstance(rows, list) else [rows], start=1):
        yield from ((number, one) for one in _paragraphs(row))


def _paragraphs(row: Any) -> Iterator[dict[str, Any]]:
    """SQuAD's nesting laid flat: a row for each question, with `context`, `question`, `answers`, `id`."""
    columns = _columns(row)
    if not isinstance(columns.get("paragraphs"), list):
        yield columns
        return
    for paragraph in columns["paragraphs"]:
        for asked in paragraph.get("qas", ()):
            answers = [answer["text"] for answer in asked.get("answers", ())]
            yield {"context": paragraph.get("context", ""), **asked, "answers": answers}


def _columns(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"text": value}


def _table(separator: str) -> Callable[[str, str], Iterator[tuple[int, dict[str, Any]]]]:
    def read(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        for row in reader:
            yield reader.line_num, {str(key): value for key, value in row.items()}

    return read


def _lines(name: str, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = text.split("\n")  # not splitlines: a tweet may hold other ends of lines
    for number, line in enumerate(lines[:-1] if lines[-1] == "" else lines, start=1):
        yield number, {"text": line.rstrip("\r")}


READERS: dict[str, Callable[[str, str], Iterator[tuple[int, dict[str, Any]]]]] = {
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".json": _json,
    ".csv": _table(","),
    ".tsv": _table("\t"),
    ".txt": _lines,
}


def row_files(task: TaskSpec, path: Path) -> dict[str, str]:
    """Give, for an order's inputs, the hash of each file a task reads: role -> `sha256:...`.

    Raises DataError for one that is missing.
    """
    places = {"rows": path}
    places |= {f"beside.{column}": _beside(path, beside) for column, beside in task.beside.items()}
    if task.shots and task.shots.file:
        places["shots"] = path.parent / task.shots.file
    return {role: _fingerprint(place) for role, place in places.items()}


def peer_files(path: Path) -> dict[str, str]:
    """Give, for an order's inputs, the hash of each local file that a task file of lm-eval names: role -> `sha256:...`.

    A file with tags of its own (functions) is taken at its word: what those read is not known.
    """
    try:
        told = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
    except yaml.YAMLError:
        return {}
    named = told.get("dataset_kwargs", {}).get("data_files", {}) if isinstance(told, dict) else {}
    splits = named if isinstance(named, dict) else {"rows": named}
    lists = {split: found if isinstance(found, list) else [found] for split, found in splits.items()}
    places = {f"{split}.{number}": Path(str(one)) for split, some in lists.items() for number, one in enumerate(some)}
    return {role: _fingerprint(place) for role, place in places.items() if place.exists()}


def _fingerprint(path: Path) -> str:
    if path.is_dir():
        members = sorted(member for member in path.rglob("*") if member.is_file())
        lines = "\n".join(f"{member.relative_to(path).as_posix()} {fingerprint(member)}" for member in members)
        return f"sha256:{hashlib.sha256(lines.encode()).hexdigest()}"
    try:
        return fingerprint(path)
    except FileNotFoundError:
        raise DataError(
            "there is no such file", where=str(path), mend="give the file with the task's rows: rows=FILE"
        ) from None
