"""Which files a knowledge base is made of: files, folders and patterns, each with its hash."""

import difflib
import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.artifact.atomic import sha256
from luthier.errors import DataError
from luthier.index.readers import READERS, suffix_of


@dataclass(frozen=True)
class File:
    """A document that is to be read."""

    path: Path
    label: str
    """What it is called in the knowledge base: its path as it was given."""
    source: str
    """The setting that named it."""
    is_named: bool
    """Whether it was named itself, and not found in a folder."""
    sha256: str
    bytes: int = 0


def is_followed(label: str, source: str, given: Sequence[str]) -> bool:
    """Whether a document that is held belongs to the sources given: it came from one of them, or lay in a folder of
    them, whatever it came from, and is there no more."""
    if Path(source).as_posix() in given:
        return True
    return any(lies_in(label, folder) for folder in given) and not Path(label).exists()


def lies_in(label: str, folder: str) -> bool:
    """Whether a document lies in a folder, by how both are written: `.` holds what no path leads out of it to."""
    if folder == ".":
        return not (Path(label).is_absolute() or label.startswith("../"))
    return label.startswith(f"{folder.removesuffix('/')}/")


def find_files(sources: Sequence[str]) -> list[File]:
    """Find every file of the sources, and hash it. Raises DataError for a source that holds none."""
    found: dict[Path, File] = {}
    for source in sources:
        for path, is_named in _find(source):
            key = path.absolute()
            if key not in found:
                found[key] = File(path, path.as_posix(), source, is_named, sha256(path), path.stat().st_size)
    return list(found.values())


def _find(source: str) -> Iterator[tuple[Path, bool]]:
    path = Path(source)
    if path.is_dir():
        inside = sorted(Path(root, name) for root, _, names in os.walk(path) for name in names)
        wanted = [one for one in inside if _is_wanted(one, path)]
        if not wanted:
            raise DataError(f"the folder {source!r} holds no documents", where=str(path.absolute()), mend=_formats())
        yield from ((one, False) for one in wanted)
    elif path.is_file():
        if suffix_of(path) not in READERS:
            raise DataError(
                f"the format of {path.name!r} cannot be told from its name", where=str(path.absolute()), mend=_formats()
            )
        yield path, True
    elif glob.has_magic(source):
        matches = [Path(match) for match in sorted(glob.glob(source, recursive=True))]
        wanted = [one for one in matches if one.is_file() and suffix_of(one) in READERS]
        if not wanted:
            what = f"{len(matches)} files match {source!r}, no document among them"
            raise DataError(what, where=str(Path(source).absolute()), mend=_formats())
        yield from ((one, False) for one in wanted)
    else:
        beside = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, beside, n=1)
        mend = f"did you mean {path.parent / near[0]}?" if near else "give a file, a folder or a pattern"
        raise DataError(f"there is no file {source!r}", where=str(path.absolute()), mend=mend)


def _is_wanted(path: Path, root: Path) -> bool:
    hidden = any(part.startswith((".", "~$")) for part in path.relative_to(root).parts)
    return not hidden and suffix_of(path) in READERS


def _formats() -> str:
    return f"give files that end in {', '.join(READERS)}"
