"""Brings what the git-lfs pointers in a local folder stand for."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from luthier.artifact import atomic
from luthier.event import Chose, Tell
from luthier.fetch import lfs
from luthier.fetch.line import Line
from luthier.fetch.refusal import Asked
from luthier.fetch.room import check_room, made_of
from luthier.fetch.spec import FetchSpec
from luthier.fetch.transfer import bring

MEND = "run git lfs pull in that folder, which knows your login"


def bring_pointed(
    pointers: Mapping[str, lfs.Pointer],
    folder: Path,
    server: str | None,
    spec: FetchSpec,
    out: Path,
    work: Path,
    tell: Tell,
) -> None:
    """Bring each object to its name under `out`: from the repository's own store if it is there, else from `server`.

    Raises FetchError if neither gives it, RoomError if it would not fit on the disk.
    """
    check_room(work, "the download", sum(pointer.size for pointer in pointers.values()))
    kept = {name: lfs.kept_object(folder, pointer.sha256) for name, pointer in pointers.items()}
    lacking = {}
    for name, pointer in pointers.items():
        path = kept[name]
        if path is not None and atomic.sha256(path) == pointer.sha256:
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, out / name)
        else:
            lacking[name] = pointer
    why = f"{folder} holds pointers; {len(pointers) - len(lacking)} lie in .git/lfs, {len(lacking)} on {server}"
    tell(Chose("git-lfs", f"{len(pointers)} files", why))
    if not lacking:
        return
    if server is None:
        raise lfs.unresolved(list(lacking), str(folder))
    asked = Asked(folder.name, server, "file", token=MEND)
    with Line(tell) as line:
        items = lfs.resolve(lacking, server, asked, {}, line)
        bring(items, out, work, line, spec.connections, made_of=made_of(spec))
