"""Git LFS: pointers that stand for large files, found and resolved through the LFS batch API.

Source: github.com/git-lfs/git-lfs, docs/spec.md and docs/api/batch.md.
"""

import configparser
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from luthier.errors import FetchError

if TYPE_CHECKING:
    from luthier.fetch.line import Line
    from luthier.fetch.partial import Item
    from luthier.fetch.refusal import Asked

BEGINNING = b"version https://git-lfs.github.com/spec/v1\n"
LARGEST_POINTER_BYTES = 1024
BATCH = 100
"""Objects asked for at once, as git-lfs does."""
MEDIA_TYPE = "application/vnd.git-lfs+json"


@dataclass(frozen=True)
class Pointer:
    """What a pointer file stands for."""

    sha256: str
    size: int


def read_pointer(path: Path) -> Pointer | None:
    """Give what a file stands for, or None if it is no pointer."""
    if path.stat().st_size > LARGEST_POINTER_BYTES:
        return None
    content = path.read_bytes()
    if not content.startswith(BEGINNING):
        return None
    oid = re.search(rb"^oid sha256:([0-9a-f]{64})$", content, re.MULTILINE)
    size = re.search(rb"^size (\d+)$", content, re.MULTILINE)
    return Pointer(oid[1].decode(), int(size[1])) if oid and size else None


def server_of_folder(folder: Path) -> str | None:
    """Give the address of the LFS server of a git working tree, as its settings name it; None where they do not."""
    root = _root(folder)
    if root is None:
        return None
    for path in (root / ".lfsconfig", root / ".git" / "config"):
        settings = configparser.ConfigParser(strict=False, interpolation=None, allow_no_value=True)
        try:
            settings.read_string("\n".join(line.strip() for line in path.read_text(encoding="utf-8").splitlines()))
        except (OSError, UnicodeDecodeError, configparser.Error):
            continue
        if settings.has_option("lfs", "url"):
            return _without_user(str(settings["lfs"]["url"]))
        remote = 'remote "origin"'
        if settings.has_option(remote, "lfsurl"):
            return _without_user(str(settings[remote]["lfsurl"]))
        if settings.has_option(remote, "url"):
            return server_of_git(str(settings[remote]["url"]))
    return None


def kept_object(folder: Path, sha256: str) -> Path | None:
    """Give the file that git-lfs keeps for an object in a working tree, if it is there."""
    root = _root(folder)
    path = root / ".git" / "lfs" / "objects" / sha256[:2] / sha256[2:4] / sha256 if root else None
    return path if path and path.exists() else None


def server_of_git(url: str) -> str | None:
    """Give the LFS server that belongs to a git address, by git-lfs' rule; None for one that is not on the web."""
    found = re.fullmatch(r"(?:ssh://)?(?:[\w.-]+@)([\w.-]+)(?::\d+(?=/))?[:/](.+)", url)
    if found and not url.startswith("http"):
        url = f"https://{found[1]}/{found[2]}"
    if not url.startswith(("http://", "https://")):
        return None
    return f"{_without_user(url).rstrip('/').removesuffix('.git')}.git/info/lfs"


def server_of_file(url: str) -> str | None:
    """Give the LFS server for the address of a raw file: GitHub, GitLab, Gitea and hubs; None for others."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    if parts.hostname == "raw.githubusercontent.com" and len(segments) > 2:
        return f"https://github.com/{segments[0]}/{segments[1]}.git/info/lfs"
    at = next((i for i, segment in enumerate(segments) if segment in ("raw", "-", "resolve", "media")), 0)
    if at < 2:
        return None
    return f"{parts.scheme}://{parts.netloc}/{'/'.join(segments[:at])}.git/info/lfs"


def resolve(
    pointers: Mapping[str, Pointer], server: str, asked: "Asked", private: Mapping[str, str], line: "Line"
) -> list["Item"]:
    """Ask the server where the objects lie. Gives an item for each name.

    Raises FetchError if the server has one of them not, or does not give it.
    """
    names = list(pointers)
    items: list[Item] = []
    for begin in range(0, len(names), BATCH):
        some = {name: pointers[name] for name in names[begin : begin + BATCH]}
        objects = [{"oid": pointer.sha256, "size": pointer.size} for pointer in some.values()]
        body = {"operation": "download", "transfers": ["basic"], "objects": objects, "hash_algo": "sha256"}
        headers = {"Accept": MEDIA_TYPE, "Content-Type": MEDIA_TYPE}
        answer, _ = line.json(f"{server}/objects/batch", asked, private, body, headers)
        items += _items(some, answer, server, asked)
    return items


def _items(pointers: Mapping[str, Pointer], answer: object, server: str, asked: "Asked") -> list["Item"]:
    from luthier.fetch.partial import Item

    given = answer.get("objects", []) if isinstance(answer, dict) else []
    found = {entry.get("oid"): entry for entry in given if isinstance(entry, dict)}
    items = []
    for name, pointer in pointers.items():
        entry = found.get(pointer.sha256, {})
        action = entry.get("actions", {}).get("download", {})
        if "href" not in action:
            said = entry.get("error", {}).get("message", "nothing of it")
            raise FetchError(
                f"the LFS server says of {name}: {said}",
                where=f"{server}, object {pointer.sha256}",
                mend="check that the repository holds the file and that you may read it",
            )
        private = {str(key): str(value) for key, value in action.get("header", {}).items()}
        items.append(Item(name, str(action["href"]), asked, pointer.size, pointer.sha256, None, private))
    return items


def unresolved(names: list[str], where: str) -> FetchError:
    """Give the error for pointers that nobody can resolve."""
    return FetchError(
        f"{', '.join(names[:3])}: no file but a git-lfs pointer, which stands for one that lies elsewhere",
        where=where,
        mend="run git lfs pull in the repository, or name the source by its address on the hub (owner/name)",
    )


def _root(folder: Path) -> Path | None:
    return next((place for place in (folder, *folder.parents) if (place / ".git").is_dir()), None)


def _without_user(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl().rstrip("/")
