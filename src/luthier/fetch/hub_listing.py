"""What a hub holds under a name: the commit, and each file's address, size and checksum."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from luthier.errors import FetchError
from luthier.event import Chose
from luthier.fetch.address import Place
from luthier.fetch.line import Line
from luthier.fetch.partial import Item
from luthier.fetch.refusal import Asked

NO_TREE = (404, 405, 501)
"""Statuses with which a mirror of the simple kind answers a question for the tree."""


def list_repository(
    place: Place, endpoint: str, asked: Asked, private: Mapping[str, str], line: Line
) -> tuple[str, dict[str, Item]]:
    """Give the commit that the revision stands for now, and the files of that commit by name.

    Raises FetchError if the hub has no such repository or revision, or does not let us see it.
    """
    kind = "datasets" if place.is_data else "models"
    api = f"{endpoint}/api/{kind}/{place.name}"
    info, _ = line.json(f"{api}/revision/{quote(place.revision or 'main', safe='')}?blobs=true", asked, private)
    try:
        commit = str(info["sha"])
        entries = _tree(endpoint, api, commit, asked, private, line)
        if entries is None:
            entries = [_sibling(file) for file in info["siblings"]]
        files = [(str(entry["path"]), entry) for entry in entries if entry.get("type") == "file"]
    except (KeyError, TypeError) as error:
        raise FetchError(
            f"the hub lists {place.name!r} in a form of its own: {type(error).__name__}: {error}",
            where=api,
            mend="set endpoint to a hub that speaks as huggingface.co does",
        ) from None
    head = f"{endpoint}/{'datasets/' if place.is_data else ''}{place.name}/resolve/{commit}"
    return commit, {name: _item(name, entry, f"{head}/{quote(name)}", asked, private) for name, entry in files}


def _tree(
    endpoint: str, api: str, commit: str, asked: Asked, private: Mapping[str, str], line: Line
) -> list[dict[str, Any]] | None:
    """Give every entry of the tree, page by page; None where a mirror has no such listing."""
    entries: list[dict[str, Any]] = []
    page: str | None = f"{api}/tree/{commit}?recursive=true"
    while page is not None:
        found, following = line.json(page, asked, private, none_for=() if entries else NO_TREE)
        if found is None:
            line.tell(Chose("listing", "of the repository as a whole", f"{endpoint} has no tree of files"))
            return None
        entries += found
        page = following and _on_endpoint(following, endpoint, api)
    return entries


def _on_endpoint(url: str, endpoint: str, api: str) -> str:
    """Mirrors pass on the next page's address as the hub gave it: the token must stay with the endpoint."""
    parts = urlsplit(url)
    head = api.removeprefix(endpoint)
    _, found, rest = parts.path.rpartition(head)
    if not found:
        raise KeyError(f"the next page is {url!r}")
    return f"{endpoint}{head}{rest}?{parts.query}"


def _sibling(file: Mapping[str, Any]) -> dict[str, Any]:
    """Give an entry of the older listing in the form of the tree."""
    lfs = file.get("lfs") or {}
    found = {"type": "file", "path": file["rfilename"], "size": file.get("size"), "oid": file.get("blobId")}
    return found | ({"lfs": {"oid": lfs.get("sha256"), "size": lfs.get("size")}} if lfs else {})


def _item(name: str, entry: Mapping[str, Any], url: str, asked: Asked, private: Mapping[str, str]) -> Item:
    lfs = entry.get("lfs") or {}
    oid = entry.get("oid")
    # the oid of a file in LFS is that of its pointer
    git_sha1 = oid if not lfs and isinstance(oid, str) and len(oid) == 40 else None
    size = lfs.get("size", entry.get("size"))
    return Item(name, url, replace(asked, what="file"), size, lfs.get("oid"), git_sha1, private)
