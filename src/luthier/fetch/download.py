"""From a hub, from ModelScope or from any address: list, choose, bring, and check what came."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from luthier.artifact import atomic
from luthier.errors import FetchError
from luthier.event import Chose, Tell
from luthier.fetch import hub_listing, lfs, modelscope_listing
from luthier.fetch.address import Place, check_no_secret, kind_of
from luthier.fetch.credentials import HUB_MEND, MODELSCOPE_MEND, file_headers, hub_headers, modelscope_headers
from luthier.fetch.data_files import choose_data
from luthier.fetch.line import Line
from luthier.fetch.model_files import check_names, check_whole, choose, is_pickle
from luthier.fetch.partial import Item
from luthier.fetch.refusal import Asked
from luthier.fetch.room import made_of
from luthier.fetch.spec import FetchSpec
from luthier.fetch.transfer import bring

MODELSCOPE = "https://www.modelscope.cn"


def bring_from_hub(place: Place, spec: FetchSpec, out: Path, work: Path, tell: Tell) -> dict[str, Any]:
    """Bring a repository of a hub, or one file of it, into `out`. Gives its commit and address as figures.

    Raises FetchError if the hub refuses or sends other bytes than it promised, ModelError if what is there is no
    model, RoomError if it would not fit on the disk.
    """
    endpoint = _hub_endpoint(place, tell)
    address = f"{endpoint}/{'datasets/' if place.is_data else ''}{place.name}"
    private = hub_headers(spec.token_file, endpoint, tell)
    asked = Asked(place.name, address, place.what, place.revision or "main", HUB_MEND)
    with Line(tell) as line:
        commit, files = hub_listing.list_repository(place, endpoint, asked, private, line)
        is_named = commit == asked.revision
        tell(Chose("commit", commit, "revision says so" if is_named else f"what {asked.revision} stands for right now"))
        figures = _take(place, spec, files, asked, private, line, out, work)
    return {"hub": address, "commit": commit, **figures}


def bring_from_modelscope(place: Place, spec: FetchSpec, out: Path, work: Path, tell: Tell) -> dict[str, Any]:
    """Bring a repository of ModelScope, or one file of it, into `out`. Gives what it was known by as figures.

    Raises as `bring_from_hub` does.
    """
    endpoint = place.endpoint or _modelscope_endpoint(tell)
    address = f"{endpoint}/{'datasets' if place.is_data else 'models'}/{place.name}"
    private = modelscope_headers(spec.token_file, endpoint, tell)
    asked = Asked(place.name, address, place.what, place.revision or "master", MODELSCOPE_MEND)
    with Line(tell) as line:
        digest, files = modelscope_listing.list_repository(place, endpoint, asked, private, line)
        tell(Chose("content", digest, f"of all files that {asked.revision} holds right now"))
        figures = _take(place, spec, files, asked, private, line, out, work)
    return {"hub": address, "revision": asked.revision, "content": digest, **figures}


def bring_file(address: str, spec: FetchSpec, out: Path, work: Path, tell: Tell) -> dict[str, Any]:
    """Bring one file from a web server into `out`. Gives its address, size and checksum as figures."""
    parts = urlsplit(address)
    url = _raw(urlunsplit(parts._replace(fragment="")))
    name = PurePosixPath(unquote(parts.path)).name
    asked = Asked(name, url.partition("?")[0])
    private = file_headers(spec.token_file, url, tell)
    wanted = parts.fragment.removeprefix("sha256=").lower() or None
    with Line(tell) as line:
        item = Item(name, url, asked, None, wanted, None, private)
        target = out if kind_of(name) == "rows" else work / "gguf"
        _bring([item], target, work, line, spec, lfs.server_of_file(url), private)
    facts = {"address": url, "sha256": atomic.sha256(target / name), "bytes": (target / name).stat().st_size}
    return facts | _gguf(target / name, spec, out, tell)


def _take(
    place: Place,
    spec: FetchSpec,
    files: Mapping[str, Item],
    asked: Asked,
    private: Mapping[str, str],
    line: Line,
    out: Path,
    work: Path,
) -> dict[str, Any]:
    server = f"{asked.where}.git/info/lfs"
    if place.file is not None:
        item = _one(place.file, files, asked)
        target = out if kind_of(item.name) == "rows" else work / "gguf"
        _bring([item], target, work, line, spec, server, private)
        path = target / item.name
        facts = {"file": item.name, "sha256": atomic.sha256(path), "bytes": path.stat().st_size}
        return facts | _gguf(path, spec, out, line.tell)
    if place.is_data:
        names = choose_data(files, spec, asked.where)
    else:
        names = choose(files, spec)
        check_names(names, files, asked.where)
        _tell_left(files, names, line.tell)
    _bring([files[name] for name in names], out, work, line, spec, server, private)
    if not place.is_data:
        check_whole(out, names)
    return {"files": len(names), "bytes": sum((out / name).stat().st_size for name in names)}


def _bring(
    items: list[Item],
    target: Path,
    work: Path,
    line: Line,
    spec: FetchSpec,
    server: str | None,
    private: Mapping[str, str],
) -> None:
    """Bring the items; those that turn out to be git-lfs pointers are resolved and brought in turn."""
    bring(items, target, work, line, spec.connections, made_of=made_of(spec))
    found = {item.name: lfs.read_pointer(target / item.name) for item in items}
    pointers = {name: pointer for name, pointer in found.items() if pointer is not None}
    if not pointers:
        return
    if server is None:
        raise lfs.unresolved(list(pointers), items[0].asked.where)
    line.tell(Chose("git-lfs", f"{len(pointers)} files", f"the source gave pointers, {server} has what they stand for"))
    for name in pointers:
        (target / name).unlink()
    items = lfs.resolve(pointers, server, items[0].asked, private, line)
    bring(items, target, work / "lfs", line, spec.connections, made_of=made_of(spec))


def _one(name: str, files: Mapping[str, Item], asked: Asked) -> Item:
    if name in files:
        return files[name]
    near = difflib.get_close_matches(name, files, n=1)
    raise FetchError(
        f"{asked.name!r} has no file {name!r}",
        where=asked.where,
        mend=f"did you mean {near[0]}?" if near else f"write one of: {', '.join(sorted(files)[:8])}",
    )


def _gguf(path: Path, spec: FetchSpec, out: Path, tell: Tell) -> dict[str, Any]:
    if kind_of(path.name) != "model":
        return {"files": 1}
    from luthier.fetch.gguf_model import convert  # torch: only when it is really made

    return convert(path, out, spec.dtype, tell)


def _tell_left(every: Mapping[str, Item], taken: list[str], tell: Tell) -> None:
    left = [name for name in every if is_pickle(name) and name not in taken]
    if left:
        tell(Chose("files left out", ", ".join(left[:5]), "pickles are never taken"))


def _hub_endpoint(place: Place, tell: Tell) -> str:
    if place.endpoint is not None:
        return place.endpoint
    from huggingface_hub import constants

    check_no_secret(constants.ENDPOINT, "HF_ENDPOINT")
    why = "HF_ENDPOINT says so" if os.environ.get("HF_ENDPOINT") else "the default; set endpoint for a mirror"
    tell(Chose("hub", constants.ENDPOINT, why))
    return str(constants.ENDPOINT)


def _modelscope_endpoint(tell: Tell) -> str:
    domain = os.environ.get("MODELSCOPE_DOMAIN")
    endpoint = (domain if "://" in domain else f"https://{domain}") if domain else MODELSCOPE
    check_no_secret(endpoint, "MODELSCOPE_DOMAIN")
    tell(Chose("hub", endpoint, "MODELSCOPE_DOMAIN says so" if domain else "the default; set endpoint for another"))
    return endpoint.rstrip("/")


def _raw(url: str) -> str:
    """Give the address of the file itself for one that shows it in a browser: GitHub, GitLab, Gitea."""
    parts = urlsplit(url)
    segments = parts.path.split("/")
    if parts.hostname == "github.com" and segments[3:4] == ["blob"]:
        return urlunsplit(parts._replace(path="/".join([*segments[:3], "raw", *segments[4:]])))
    if segments[3:5] == ["-", "blob"]:
        return urlunsplit(parts._replace(path="/".join([*segments[:3], "-", "raw", *segments[5:]])))
    if segments[3:4] == ["src"]:
        return urlunsplit(parts._replace(path="/".join([*segments[:3], "raw", *segments[4:]])))
    return url
