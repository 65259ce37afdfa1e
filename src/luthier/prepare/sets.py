"""Which files a spec means: those of each set, or those of a `rows` artifact."""

from dataclasses import replace

from luthier.artifact.store import Artifact, check_kind
from luthier.errors import SpecError
from luthier.prepare.source import Source, find_sources
from luthier.prepare.spec import PrepareSpec, SetSpec

Sets = list[tuple[SetSpec, list[Source]]]
"""Each set with its files."""


def check_processes(processes: int | None) -> None:
    """Raise SpecError for a number of processes that cannot work."""
    if processes is not None and processes < 1:
        raise SpecError(f"--processes is {processes}", where="command line", mend="give 1 or more, or leave it out")


def sets_of(spec: PrepareSpec, rows: Artifact | None) -> Sets:
    """Find the files of each set; nothing where they lie in a `rows` artifact, which may not be made yet.

    Raises SpecError if no rows are given, or two sorts of them, DataError for files that are not there.
    """
    if rows is None:
        if not spec.paths and not spec.sets:
            raise SpecError("no rows are given", where="key source", mend="set source=FILE, or fetch rows before")
        return [(one, find_sources(one.paths)) for one in spec.all_sets()]
    if spec.paths or spec.sets:
        named = ", ".join(spec.paths or [path for one in spec.sets for path in one.paths])
        raise SpecError(
            f"rows come from {rows.id} and from source={named}", where="key source", mend="leave out one of the two"
        )
    check_kind(rows, "rows", "rows")
    return []


def rows_sets(spec: PrepareSpec, rows: Artifact | None) -> Sets:
    """Find the files of rows in a `rows` artifact."""
    assert rows is not None
    found = find_sources([str(rows.folder)])
    named = [replace(source, label=f"{rows.id}/{source.path.relative_to(rows.folder)}") for source in found]
    [one] = spec.all_sets((rows.id,))
    return [(one, named)]
