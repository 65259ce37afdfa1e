"""`luthier prepare --restore`: what cleaning changed or left out, given back with why."""

import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from luthier.artifact import atomic
from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, SpecError

NEWEST = "newest"
"""What `--restore` without an id means."""
RESTORE_OPTIONS = (
    click.Option(
        ["--restore"],
        is_flag=False,
        flag_value=NEWEST,
        metavar="[ID]",
        help="Make nothing: give the rows that cleaning changed or left out as they were, with why.",
    ),
    click.Option(["--out"], metavar="FILE", help="With --restore: write them there (default: stdout)."),
)


def restore_instead(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """Give the rows back, if that is asked for; true means that it is done."""
    if given["out"] and not given["restore"]:
        raise SpecError("--out goes with --restore", where="command line", mend="add --restore, or leave --out out")
    if not given["restore"]:
        return False
    if has_settings:
        raise SpecError(
            "--restore takes no settings",
            where="command line",
            mend="it reads those that the examples were made with: luthier prepare --restore [ID] --out FILE",
        )
    is_newest = given["restore"] == NEWEST
    found = newest_examples(store, "clean.html=strip") if is_newest else store.find(given["restore"])
    from luthier.prepare.restore import restored_lines

    counts: Counter[str] = Counter()
    lines = restored_lines(found, store, counts)
    if given["out"]:
        _write(Path(given["out"]), lines)
    else:
        sys.stdout.writelines(lines)
    told = f"{found.id}: rows changed {counts['changed']}, left out {counts['dropped']}"
    click.echo(f"{told}: {given['out']}" if given["out"] else told, err=True)
    return True


def newest_examples(store: Store, how: str) -> Artifact:
    """Give what was prepared last. Raises SpecError if nothing was; `how` ends the command that would."""
    newest = store.newest("examples")
    if newest is None:
        raise SpecError("nothing is prepared yet", where=str(store.root), mend=f"luthier prepare FILE {how}")
    return newest


def _write(path: Path, lines: Any) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:
            file.writelines(lines)

    try:
        atomic.write_with(path, write)
    except OSError as error:
        raise DataError(
            f"the rows cannot be written: {error.strerror}", where=str(path), mend="give a path that can be written"
        ) from None
