"""`url:ADDRESS`, or the address alone: one file of rows, or one .gguf, from any web server."""

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from luthier.errors import FetchError
from luthier.event import Tell
from luthier.fetch.address import checked_kind
from luthier.fetch.found import Found, HashFile
from luthier.fetch.spec import FetchSpec


def look(spec: FetchSpec, rest: str, hash_file: HashFile) -> Found:
    """Take the address as it is; `#sha256=HEX` behind it says which content is wanted.

    Raises FetchError if it is no address of a file of rows or of a .gguf.
    """
    parts = urlsplit(rest)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError(
            f"{rest!r} is no address", where="fetch, key source", mend="write https://HOST/PATH/FILE.jsonl"
        )
    if parts.fragment and not re.fullmatch(r"sha256=[0-9a-fA-F]{64}", parts.fragment):
        raise FetchError(
            f"{parts.fragment!r} behind the # is no checksum",
            where="fetch, key source",
            mend="write #sha256= and 64 hex digits, or nothing",
        )
    kind = checked_kind(parts.path, "name a file that ends so; for a whole model name its repository")

    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        from luthier.fetch.download import bring_file  # httpx: only when something is really fetched

        return bring_file(rest, spec, out, work, tell)

    return Found(kind, bring)
