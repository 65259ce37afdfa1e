"""The sources of rows: files by path, folder or pattern, data sets by name; each with what tells its content."""

import difflib
import glob
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.artifact import atomic
from luthier.errors import DataError
from luthier.prepare.dataset import DATASET, DatasetName, find_dataset

LINE_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".txt")
SUFFIXES = (*LINE_SUFFIXES, ".parquet", ".arrow")
PACKED = (".gz", ".zst")
"""Suffixes that may follow those of LINE_SUFFIXES."""
NOT_ROWS = {
    "card.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "package.json",
    "config.json", "readme.txt", "license.txt", "licence.txt", "notice.txt", "requirements.txt", "mapping.txt",
}  # fmt: skip
"""Files that stand beside rows and hold none; named outright, they are read."""
INSTEAD = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the table as CSV"),
    **dict.fromkeys((".zip", ".tar", ".tgz", ".7z", ".bz2", ".xz"), "unpack it"),
    **dict.fromkeys(
        (".pdf", ".docx", ".pptx", ".html", ".md"), "save its text as .txt (luthier index reads it as it is)"
    ),
}
"""What to do with a file that people take for rows."""
TEXT_END, LABELS_END = "_text.txt", "_labels.txt"
"""Two files that belong together, line by line, as TweetEval keeps them (cardiffnlp/tweeteval)."""


@dataclass(frozen=True)
class Source:
    """A file of rows, or a data set; `label` is what errors and examples call it."""

    path: Path
    label: str
    classes: Path | None = None
    """A file of classes, one a line, for the rows of a text file."""
    dataset: DatasetName | None = None

    @property
    def packing(self) -> str:
        """How it is packed: `.gz`, `.zst` or ''."""
        name = self.label.lower()
        return next((end for end in PACKED if name.endswith(end)), "")

    @property
    def suffix(self) -> str:
        """What tells its format: the last suffix that says nothing of packing; `dataset:` for a data set."""
        if self.dataset is not None:
            return DATASET
        return Path(self.label.lower().removesuffix(self.packing)).suffix

    @property
    def names(self) -> Path | None:
        """A file beside `classes` that gives their names: a number, a tab, a name on each line."""
        path = None if self.classes is None else self.classes.with_name("mapping.txt")
        return path if path is not None and path.is_file() else None

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read; none for a data set."""
        if self.dataset is not None:
            return ()
        return tuple(path for path in (self.path, self.classes, self.names) if path is not None)

    @property
    def bytes(self) -> int:
        """What the files take on disk; 0 for a data set."""
        return sum(path.stat().st_size for path in self.files)

    def identity(self) -> str:
        """Give what tells the content: `sha256:...` of the files, or what `datasets` knows the data set by."""
        if self.dataset is not None:
            return self.dataset.identity
        sums = [atomic.sha256(path) for path in self.files]
        return f"sha256:{sums[0] if len(sums) == 1 else hashlib.sha256(' '.join(sums).encode()).hexdigest()}"


def find_sources(paths: Sequence[str]) -> list[Source]:
    """Give what a spec names: files, the files of folders and patterns in the order of their names, data sets.

    Raises DataError for a path that leads to nothing, a file of no known format, or one that is named twice.
    """
    found = [source for path in paths for source in _find(path)]
    known: dict[tuple[Path, DatasetName | None], str] = {}
    for source in found:
        key = (source.path.absolute(), source.dataset)
        if key in known:
            raise DataError(
                f"{source.label!r} is named twice",
                where=f"key source, {', '.join(paths)}",
                mend=f"leave out one; it is {known[key]!r} too",
            )
        known[key] = source.label
    return found


def _find(label: str) -> list[Source]:
    if label.startswith(DATASET):
        return [Source(Path(label), label, dataset=find_dataset(label))]
    path = Path(label)
    if path.is_dir():
        return _in_folder(path, label)
    if not path.exists() and glob.has_magic(label):
        return _matching(label)
    return [_file(path, label)]


def _in_folder(folder: Path, label: str) -> list[Source]:
    """Give the files of rows in a folder and the folders in it; those of no known format are left aside."""
    inside = sorted(Path(root, name) for root, _, names in os.walk(folder) for name in names)
    wanted = [path for path in inside if not _is_hidden(path.relative_to(folder)) and _holds_rows(path)]
    if not wanted:
        raise DataError(
            f"the folder {label!r} holds no files of rows", where=str(folder.absolute()), mend=f"put in {_formats()}"
        )
    return [_file(path, str(Path(label) / path.relative_to(folder))) for path in wanted]


def _matching(pattern: str) -> list[Source]:
    matches = sorted(glob.glob(pattern, recursive=True))
    found = [_file(Path(match), match) for match in matches if Path(match).is_file() and _holds_rows(Path(match))]
    if not found:
        what = f"{len(matches)} files match {pattern!r}, none of them" if matches else f"no file matches {pattern!r},"
        raise DataError(
            f"{what} is a file of rows" if matches else what.rstrip(","),
            where=str(Path(pattern).absolute()),
            mend=f"give a pattern (seen from this folder) that matches {_formats()}",
        )
    return found


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "__")) for part in path.parts)


def _holds_rows(path: Path) -> bool:
    name = path.name.lower()
    is_classes = name.endswith(LABELS_END) and path.with_name(name.removesuffix(LABELS_END) + TEXT_END).is_file()
    return _is_known(Source(path, path.name)) and name not in NOT_ROWS and not is_classes


def _is_known(source: Source) -> bool:
    return source.suffix in (LINE_SUFFIXES if source.packing else SUFFIXES)


def _file(path: Path, label: str) -> Source:
    source = Source(path, label)
    if not path.exists():
        beside = sorted(other.name for other in path.parent.iterdir()) if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        mend = f"did you mean {path.parent / near[0]}?" if near else "give the path of a file, seen from this folder"
        if label.startswith("rows-"):
            mend = f"rows that were fetched are given by their id: luthier prepare --rows {label}"
        raise DataError(f"there is no file {label!r}", where=str(path.absolute()), mend=mend)
    if not _is_known(source):
        raise DataError(
            f"the format of {path.name!r} cannot be told from its name",
            where=str(path.absolute()),
            mend=f"{INSTEAD[source.suffix]}; prepare reads {_formats()}"
            if source.suffix in INSTEAD
            else f"give {_formats()}",
        )
    if not path.name.endswith(TEXT_END):
        return source
    classes = path.with_name(path.name.removesuffix(TEXT_END) + LABELS_END)
    return Source(path, label, classes if classes.is_file() else None)


def _formats() -> str:
    return f"a file that ends in {', '.join(LINE_SUFFIXES)} (each may be followed by .gz or .zst), .parquet or .arrow"
