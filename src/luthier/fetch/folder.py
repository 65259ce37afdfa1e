"""A local folder (or a .gguf file): checked, and copied file by file."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

from luthier.errors import FetchError
from luthier.event import Chose, Progress, Tell
from luthier.fetch import lfs
from luthier.fetch.found import Found, HashFile
from luthier.fetch.gguf_file import gguf_bytes, look_at_gguf
from luthier.fetch.model_files import check_names, check_whole, choose, is_pickle
from luthier.fetch.spec import FetchSpec


def look(spec: FetchSpec, rest: str, hash_file: HashFile) -> Found:
    """Find the model in a folder. Raises FetchError if there is none, ModelError if it is not whole or pickled.

    The content is what it is known by: every file taken is hashed. A git-lfs pointer counts as what it stands for,
    which is taken from the repository's own store, or from its LFS server.
    """
    place = _place(rest)
    if place.is_file():
        if lfs.read_pointer(place) is not None:
            raise lfs.unresolved([place.name], str(place))
        return look_at_gguf(spec, place, hash_file, {}, {})
    every, names = _names(place, spec)
    check_names(names, every, str(place))
    pointers = {name: pointer for name in names if (pointer := lfs.read_pointer(place / name)) is not None}
    server = lfs.server_of_folder(place) if pointers else None
    if pointers and server is None and not all(lfs.kept_object(place, p.sha256) for p in pointers.values()):
        raise lfs.unresolved(list(pointers), str(place))
    check_whole(place, names if not pointers else set())
    hashes = {name: pointers[name].sha256 if name in pointers else hash_file(place / name) for name in names}
    digest = hashlib.sha256(json.dumps(hashes, sort_keys=True).encode()).hexdigest()
    left = [name for name in every if is_pickle(name) and name not in names]

    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        if left:
            tell(Chose("files left out", ", ".join(left[:5]), "pickles are never taken"))
        here = [name for name in names if name not in pointers]
        total = sum((place / name).stat().st_size for name in here)
        done = 0
        for name in here:
            _take(place / name, out / name, link=spec.link and name.endswith(".safetensors"))
            done += (place / name).stat().st_size
            tell(Progress("copy", done, total, "bytes"))
        if pointers:
            from luthier.fetch.pointed import bring_pointed  # httpx: only when something is really fetched

            bring_pointed(pointers, place, server, spec, out, work, tell)
            check_whole(out, names)
        return {"folder": str(place), "files": len(names)}

    return Found("model", bring, {"folder": f"sha256:{digest}"})


def expected_bytes(spec: FetchSpec, rest: str) -> int:
    """Give the bytes the copy will take; linked weights take none."""
    place = _place(rest)
    if place.is_file():
        return gguf_bytes(spec, place)
    _, names = _names(place, spec)
    copied = [name for name in names if not (spec.link and name.endswith(".safetensors"))]
    pointers = {name: lfs.read_pointer(place / name) for name in copied}
    return sum(pointer.size if pointer else (place / name).stat().st_size for name, pointer in pointers.items())


def _place(rest: str) -> Path:
    place = Path(rest).expanduser().resolve()
    if place.is_dir() or (place.is_file() and place.suffix == ".gguf"):
        return place
    what = "is neither a folder nor a .gguf file" if place.exists() else "does not exist"
    raise FetchError(
        f"{rest!r} {what}",
        where=str(place),
        mend="give the folder of a model (of the hub: owner/name); rows need no fetching: luthier prepare FILE",
    )


def _names(place: Path, spec: FetchSpec) -> tuple[list[str], list[str]]:
    """Give every file's path under the folder, and those to take."""
    every = sorted(path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file())
    return every, choose(every, spec)


def _take(source: Path, target: Path, *, link: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(source)
    else:
        shutil.copyfile(source, target)
