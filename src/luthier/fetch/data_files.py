"""Which files of a repository of data are taken."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from luthier.errors import FetchError
from luthier.fetch.address import DATA_SUFFIXES, PACKED
from luthier.fetch.spec import MODEL_FILES, SECOND_COPIES, FetchSpec

DATA_FILES = tuple(f"*{suffix}{packed}" for suffix in DATA_SUFFIXES for packed in ("", *PACKED))
NO_DATA = (
    ".*",
    "*/.*",
    "*dataset_infos.json",
    "*dataset_info.json",
    "*dataset_dict.json",
    "*state.json",
    "configuration.json",
    "README*",
    "LICENSE*",
    "requirements*.txt",
)
"""They say something about the data, and would be taken for rows."""


def choose_data(names: Iterable[str], spec: FetchSpec, where: str) -> list[str]:
    """Give the names to take, sorted. Left at their defaults, include and exclude mean files of rows, in any folder.

    Raises FetchError if no file of rows is among them.
    """
    every = sorted(names)
    include = DATA_FILES if spec.include == MODEL_FILES else spec.include
    exclude = NO_DATA if spec.exclude == SECOND_COPIES else spec.exclude
    taken = [name for name in every if _matches(name, include) and not _matches(name, exclude)]
    if not any(_matches(name.lower(), DATA_FILES) for name in taken):
        raise FetchError(
            f"none of its {len(every)} files is one of rows that include and exclude leave",
            where=where,
            mend=f"set include to some of: {', '.join(every[:8])}",
        )
    return taken


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
