"""What ModelScope holds under a name, through its HTTP API.

Models: GET /api/v1/models/OWNER/NAME/repo/files?Revision=&Recursive=true. Data, in pages: GET
/api/v1/datasets/OWNER/NAME/repo/tree?Revision=&Recursive=true&Root=/&PageNumber=&PageSize=. A file of either:
GET .../repo?Revision=&FilePath=. Answers are {"Code": 200, "Success": true, "Data": {"Files": [...]}}.
Source: modelscope's own client, modelscope/hub/api.py.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from luthier.errors import FetchError
from luthier.fetch.address import Place
from luthier.fetch.line import Line
from luthier.fetch.partial import Item
from luthier.fetch.refusal import Asked

PAGE_SIZE = 200
LEFT_OUT = (".gitignore", ".gitattributes")


def list_repository(
    place: Place, endpoint: str, asked: Asked, private: Mapping[str, str], line: Line
) -> tuple[str, dict[str, Item]]:
    """Give a digest of what the revision holds now, and the files by name, each of its own commit.

    ModelScope names no commit of the whole: the digest is the SHA-256 of each file's path, commit and checksum.
    Raises FetchError if there is no such repository or revision, or if we may not see it.
    """
    revision = place.revision or "master"
    api = f"{endpoint}/api/v1/{'datasets' if place.is_data else 'models'}/{place.name}/repo"
    pages = _pages(api, revision, asked, private, line) if place.is_data else None
    listed = list(pages) if pages is not None else _files(f"{api}/files", {"Revision": revision}, asked, private, line)
    files: dict[str, Item] = {}
    for entry in listed:
        name = str(entry.get("Path") or entry.get("Name"))
        if entry.get("Type") != "tree" and name not in LEFT_OUT:
            query = urlencode({"Revision": entry.get("Revision") or revision, "FilePath": name})
            sha256 = entry.get("Sha256") or None
            files[name] = Item(
                name, f"{api}?{query}", replace(asked, what="file"), entry.get("Size"), sha256, None, private
            )
    told = [[name, item.url.partition("?")[2], item.promise] for name, item in sorted(files.items())]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest(), files


def _pages(
    api: str, revision: str, asked: Asked, private: Mapping[str, str], line: Line
) -> Iterator[Mapping[str, Any]]:
    number, seen = 1, set[str]()
    while True:
        more = {"Revision": revision, "Root": "/", "PageNumber": str(number), "PageSize": str(PAGE_SIZE)}
        page = _files(f"{api}/tree", more, asked, private, line)
        fresh = [entry for entry in page if str(entry.get("Path")) not in seen]
        if not fresh:  # a server may give fewer at once than were asked for, or the same page again
            return
        seen |= {str(entry.get("Path")) for entry in fresh}
        yield from fresh
        number += 1


def _files(
    url: str, more: Mapping[str, str], asked: Asked, private: Mapping[str, str], line: Line
) -> list[Mapping[str, Any]]:
    answer, _ = line.json(f"{url}?{urlencode({**more, 'Recursive': 'true'})}", asked, private)
    try:
        if not answer.get("Success", answer.get("Code") == 200):
            raise FetchError(
                f"ModelScope refuses {asked.name!r}: {answer.get('Message')} (code {answer.get('Code')})",
                where=asked.where,
                mend=f"check the spelling and the revision ({asked.revision!r}); for a private one {asked.token}",
            )
        return list(answer["Data"]["Files"] or ())
    except (KeyError, TypeError, AttributeError) as error:
        raise FetchError(
            f"the answer is not ModelScope's: {type(error).__name__}: {error}",
            where=url,
            mend="leave endpoint out, or set it to a server that speaks as modelscope.cn does",
        ) from None
