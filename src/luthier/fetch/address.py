"""What a source text names: a repository on a hub, one file of it, or a plain file; a browser's addresses too."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from luthier.artifact.order import Kind
from luthier.errors import FetchError, SpecError

DATA_SUFFIXES = (".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet", ".txt")
PACKED = (".gz", ".zst")
NAME = re.compile(r"(?!.*(--|\.\.))[A-Za-z0-9_][\w.-]{0,95}(?<![.-])", re.ASCII)
"""One of the two halves of a repository's name. Source: huggingface_hub, validate_repo_id."""
MARKS = ("blob", "resolve", "raw", "tree")
"""What stands between a repository and a revision in the addresses a browser shows."""
SECRETS = ("token", "access_token", "private_token", "key", "api_key", "sig", "signature", "x-amz-signature", "auth")


@dataclass(frozen=True)
class Place:
    """A repository of models or of data, or one file of it."""

    name: str
    """`owner/name`."""
    is_data: bool = False
    file: str | None = None
    revision: str | None = None
    endpoint: str | None = None

    @property
    def what(self) -> Literal["model", "data set"]:
        """How errors call it."""
        return "data set" if self.is_data else "model"


def row_of(url: str) -> str:
    """Give the row of SOURCES for an address: `hub`, `dataset`, `modelscope`, `modelscope-dataset` or `url`."""
    parts = urlsplit(url)
    segments = [segment for segment in parts.path.split("/") if segment]
    is_data = segments[:1] == ["datasets"]
    inner = segments[1:] if is_data or segments[:1] == ["models"] else segments
    if "modelscope" in (parts.hostname or ""):
        return "modelscope-dataset" if is_data else "modelscope"
    if parts.hostname == "github.com" or parts.hostname == "raw.githubusercontent.com":
        return "url"
    has_mark = any(mark in inner[1:3] for mark in MARKS)
    is_file = len(inner) > 2 or (bool(inner) and kind_of(inner[-1]) is not None)
    if has_mark or (len(inner) == 2 and not is_file):
        return "dataset" if is_data else "hub"
    return "url"


def read_place(rest: str, is_data: bool, revision: str | None, endpoint: str | None) -> Place:
    """Read `owner/name`, `owner/name/path/file` or an address of a repository or file.

    `revision` and `endpoint` are the settings; an address may hold them instead. Raises FetchError if it cannot be a
    name, SpecError if a setting says otherwise than the address.
    """
    if not rest.startswith(("http://", "https://")):
        segments = rest.split("/")
        name, file = "/".join(segments[:2]), "/".join(segments[2:]) or None
        place = Place(name, is_data, file, revision, endpoint)
    else:
        place = _read_address(rest, is_data)
        for key, said, found in (("revision", revision, place.revision), ("endpoint", endpoint, place.endpoint)):
            if said is not None and found not in (None, said):
                raise SpecError(
                    f"{key} is {said!r}, the address says {found!r}",
                    where=f"fetch, key {key}",
                    mend=f"leave {key} out, or write the source as owner/name",
                )
        place = Place(place.name, is_data, place.file, place.revision or revision, place.endpoint)
    if not all(NAME.fullmatch(half) for half in place.name.split("/")):
        raise FetchError(f"{rest!r} cannot be a name on the hub", where="fetch, key source", mend="write owner/name")
    return place


def _read_address(url: str, is_data: bool) -> Place:
    parts = urlsplit(url)
    segments = [unquote(segment) for segment in parts.path.split("/") if segment]
    if segments[:1] in (["datasets"], ["models"]):
        segments = segments[1:]
    endpoint = f"{parts.scheme}://{parts.netloc}"
    at = next((i for i in (1, 2) if segments[i : i + 1] and segments[i] in (*MARKS, "file", "files")), None)
    if at is None:
        return Place("/".join(segments[:2]), is_data, None, None, endpoint)
    tail = segments[at + 1 :]
    if segments[at] == "file" and tail[:1] == ["view"]:  # ModelScope: /file/view/REVISION/PATH
        tail = tail[1:]
    file = None if segments[at] in ("tree", "files") else "/".join(tail[1:]) or None
    if segments[at] == "tree" and tail[1:]:
        folder = "/".join(tail[1:])
        raise FetchError(
            f"the address names the folder {folder!r} of a repository",
            where="fetch, key source",
            mend=f"write source={'/'.join(segments[:at])} include=[{folder}/*] exclude=[]",
        )
    return Place("/".join(segments[:at]), is_data, file, tail[0] if tail else None, endpoint)


def kind_of(name: str) -> Kind | None:
    """Give what a single file becomes: `rows`, a `model` (GGUF), or None where it is neither."""
    suffixes = PurePosixPath(name.lower()).suffixes
    if suffixes and suffixes[-1] in PACKED:
        suffixes = suffixes[:-1]
    last = suffixes[-1] if suffixes else ""
    return "rows" if last in DATA_SUFFIXES else "model" if name.lower().endswith(".gguf") else None


def kind_of_place(place: Place) -> Kind:
    """Give what a place becomes. Raises FetchError for a single file that is neither rows nor a GGUF."""
    if place.file is None:
        return "rows" if place.is_data else "model"
    return checked_kind(place.file, "write the repository alone (owner/name) for a whole model")


def checked_kind(name: str, mend: str) -> Kind:
    """Give what a single file becomes. Raises FetchError if it is neither rows nor a GGUF."""
    kind = kind_of(name)
    if kind is None:
        raise FetchError(
            f"{PurePosixPath(name).name!r} is neither rows ({', '.join(DATA_SUFFIXES)}) nor a .gguf file",
            where="fetch, key source",
            mend=mend,
        )
    return kind


def check_no_secret(source: str, where: str = "fetch, key source") -> None:
    """Raise SpecError if an address holds what may be a secret: sources are printed, and stored in cards.

    A prefix of ours (`url:`) may stand before the address.
    """
    address = re.search(r"https?://.*", source)
    if address is None:
        return
    parts = urlsplit(address[0])
    named = [key for key, _ in parse_qsl(parts.query, keep_blank_values=True) if key.lower() in SECRETS]
    if parts.password or parts.username or named:
        raise SpecError(
            f"the address of {parts.hostname} holds {'a user' if not named else named[0]}, which may be a secret",
            where=where,
            mend="leave it out, and set token_file to a file that holds the token",
        )
