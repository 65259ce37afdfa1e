"""Where things can come from: prefix -> how to look at such a source and how large it will be."""

import difflib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import FetchError, SpecError
from luthier.fetch import folder, hub, interpreter, modelscope, package, tiny_source, web_file
from luthier.fetch.address import check_no_secret, kind_of, row_of
from luthier.fetch.found import Found, HashFile
from luthier.fetch.spec import FetchSpec
from luthier.plugin import rows


@dataclass(frozen=True)
class Source:
    """One row: both take the spec and what stands behind the prefix, load nothing heavy, and change nothing."""

    look: Callable[[FetchSpec, str, HashFile], Found]
    """Also takes a function that gives a file's SHA-256."""
    expected_bytes: Callable[[FetchSpec, str], int | None]
    """Bytes on disk the artifact will take, where that can be told beforehand."""
    heeds: tuple[str, ...] = ()
    """The settings besides `source` that mean something here; others may not be set."""


CHOICE = ("include", "exclude", "template", "trust_remote_code", "convert")
"""Settings of every source that holds a model's files as its maker left them."""

REPOSITORY = ("revision", "endpoint")
NETWORK = ("token_file", "connections")

SOURCES: dict[str, Source] = {
    "tiny": Source(tiny_source.look, tiny_source.expected_bytes, ("template",)),
    "folder": Source(folder.look, folder.expected_bytes, (*CHOICE, "dtype", "link")),
    "hub": Source(hub.look, hub.expected_bytes, (*CHOICE, "dtype", *REPOSITORY, *NETWORK)),
    "dataset": Source(hub.look_at_data, hub.expected_bytes, ("include", "exclude", *REPOSITORY, *NETWORK)),
    "modelscope": Source(modelscope.look, hub.expected_bytes, (*CHOICE, "dtype", *REPOSITORY, *NETWORK)),
    "modelscope-dataset": Source(
        modelscope.look_at_data, hub.expected_bytes, ("include", "exclude", *REPOSITORY, *NETWORK)
    ),
    "url": Source(web_file.look, hub.expected_bytes, ("template", "dtype", *NETWORK)),
    "package": Source(package.look, package.expected_bytes, ("template", "dtype")),
    "python": Source(interpreter.look, interpreter.expected_bytes),
}
"""`folder:` and `hub:` may be left out: `./model` is a folder, `owner/name` is on the hub; so may the prefix of an
address, whose form tells what it names."""


def check_heeded(spec: FetchSpec, source: Source) -> None:
    """Raise SpecError for a setting that has no effect on this source, it would only give another id; and for an
    endpoint that holds a secret.
    """
    check_no_secret(spec.endpoint or "", "fetch, key endpoint")
    for name, field in FetchSpec.model_fields.items():
        if name not in ("source", *source.heeds) and getattr(spec, name) != field.default:
            raise SpecError(
                f"{name} is set to {getattr(spec, name)!r}, which has no effect on {spec.source}",
                where=f"fetch, key {name}",
                mend=f"leave {name} out" + (f"; settable here: {', '.join(source.heeds)}" if source.heeds else ""),
            )


def resolve(source: str) -> tuple[Source, str]:
    """Give the row for a source and what stands behind its prefix.

    Raises SpecError if an address holds a secret; FetchError if it is neither a known prefix, a folder,
    an address nor `owner/name`: the nearest known prefix is named.
    """
    known = rows("sources", SOURCES)
    check_no_secret(source)
    if source.startswith((".", "/", "~")) or Path(source).exists():
        return known["folder"], source
    prefix, colon, rest = source.partition(":")
    if colon and prefix in known:
        return known[prefix], rest
    if source.startswith(("https://", "http://")):
        return known[row_of(source)], source
    # a third part names a file of the repository, if it ends as such files do
    if not colon and re.fullmatch(r"[\w.-]+/[\w.-]+(/.+)?", source) and (source.count("/") == 1 or kind_of(source)):
        return known["hub"], source
    raise FetchError(f"{source!r} is no source", where="fetch, key source", mend=_nearest(source, sorted(known)))


def _nearest(source: str, known: list[str]) -> str:
    if source.lower().removesuffix(".gz").endswith((".csv", ".tsv", ".json", ".jsonl")):
        return f"rows in a file need no fetching: luthier prepare {source}"
    prefix, colon, rest = source.partition(":")
    near = difflib.get_close_matches(prefix, known, n=1)
    if colon and near:
        return f"did you mean {near[0]}:{rest}?"
    forms = ", ".join(f"{name}:..." for name in known)
    return f"write a folder that exists (./{source}), a hub name (owner/name), or one of {forms}"
