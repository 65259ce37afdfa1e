"""Documents cut into pieces, and made ready to be kept: all that can be done without the catalogue, in any process."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, islice
from typing import Any, Literal, NamedTuple

import numpy as np

from luthier.measure.coded import Codes
from luthier.retrieve.bm25 import coded_terms
from luthier.retrieve.catalogue import pack
from luthier.retrieve.postings import Postings, turn_coded

KINDS = ("chunk", "summary")
"""Kinds of pieces that are searched, each in a collection of its own; a `parent` is only handed over."""


NOTHING: Codes = np.zeros(0, np.int64)
OUTLINE_WORDS = 20_000
"""Different words of a document by which its summary is found, the most frequent ones."""


@dataclass(frozen=True)
class Draft:
    """A piece of a document that is to be kept."""

    kind: Literal["chunk", "parent", "summary"]
    text: str
    span: tuple[int, int]
    heading: tuple[str, ...] = ()
    page: int | None = None
    parent: int | None = None
    """The place of its parent among the document's drafts, which stands before it."""
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def searched(self) -> str:
        """What it is found by: its headings and its text."""
        return "\n".join([*self.heading[-2:], self.text])

    @cached_property
    def content(self) -> bytes:
        """A hash of what it is found by: equal ones have equal vectors."""
        return hashlib.sha256(self.searched.encode("utf-8", "surrogatepass")).digest()[:16]


@dataclass(frozen=True)
class NewDocument:
    """A document cut into pieces."""

    label: str
    source: str
    sha256: str
    title: str
    text: str
    summary: str
    metadata: Mapping[str, Any]
    drafts: Sequence[Draft]
    parsed: str = ""
    """How it was read, as JSON: it can be cut anew without its file."""


class Piece(NamedTuple):
    """A draft as it is kept."""

    kind: str
    document: int
    """The place of its document in the batch."""
    place: int
    """Its place in the document."""
    up: int | None
    """How far before it its parent stands."""
    page: int | None
    heading: str
    begin: int
    finish: int
    metadata: str
    text: str
    tokens: str
    """The words it is found by, with a blank between them."""
    content: bytes


@dataclass(frozen=True)
class Batch:
    """Documents that are brought in together."""

    documents: Sequence[tuple[str, str, str, str, str, str, bytes, bytes]]
    """Label, source, SHA-256, title, summary, metadata, text, how it was read; the last two packed."""
    pieces: Sequence[Piece]
    lengths: Mapping[str, Sequence[int]]
    """Kind -> words of each piece of it."""
    postings: Mapping[str, Postings]
    """Kind -> who holds each word, by places among the pieces of the kind."""


def batch_of(documents: Sequence[NewDocument]) -> Batch:
    """Make documents ready."""
    words, said = _said(documents)
    written = {kind: (line for _, line in its) for kind, its in said.items()}
    pieces: list[Piece] = []
    for number, document in enumerate(documents):
        common = _json(document.metadata)
        for place, draft in enumerate(document.drafts):
            metadata = _json({**document.metadata, **draft.metadata}) if draft.metadata else common
            up = None if draft.parent is None else place - draft.parent
            heading = _json(draft.heading) if draft.heading else "[]"
            tokens = next(written[draft.kind]) if draft.kind in written else ""
            kept = (heading, *draft.span, metadata, draft.text, tokens, draft.content)
            pieces.append(Piece(draft.kind, number, place, up, draft.page, *kept))
    codes = {kind: [codes for codes, _ in its] for kind, its in said.items()}
    lengths = {kind: list(map(len, its)) for kind, its in codes.items()}
    parts = [(np.concatenate([NOTHING, *codes[kind]]), lengths[kind]) for kind in KINDS]
    postings = dict(zip(KINDS, turn_coded(words, parts), strict=True))
    return Batch(list(map(_row, documents)), pieces, lengths, postings)


def _said(documents: Sequence[NewDocument]) -> tuple[Sequence[str], dict[str, list[tuple[Codes, str]]]]:
    """Give the different words of all searched pieces and, by kind, each piece's words: as places among these, and as
    they are kept."""
    of_kind = {
        kind: [[one.searched for one in each.drafts if one.kind == kind] for each in documents] for kind in KINDS
    }
    said, lines = coded_terms([text for lists in of_kind.values() for texts in lists for text in texts])
    left = iter(zip(np.split(said.codes, np.cumsum(said.lengths)[:-1]), lines, strict=True)) if lines else iter(())
    found = {kind: [list(islice(left, len(texts))) for texts in lists] for kind, lists in of_kind.items()}
    summaries = []
    for chunks, its in zip(found["chunk"], found["summary"], strict=True):
        outline = _outline(np.concatenate([NOTHING, *(codes for codes, _ in chunks)]))
        more = " ".join([said.words[code] for code in outline.tolist()])
        summaries += [(np.concatenate([codes, outline]), f"{line} {more}".strip()) for codes, line in its]
    return said.words, {"chunk": list(chain.from_iterable(found["chunk"])), "summary": summaries}


def _row(document: NewDocument) -> tuple[str, str, str, str, str, str, bytes, bytes]:
    about = (document.label, document.source, document.sha256, document.title, document.summary)
    return (*about, _json(document.metadata), pack(document.text), pack(document.parsed))


def _outline(said: Codes) -> Codes:
    """Give the words of a document, each half as often as it is said: a summary is found by them too, since what is
    asked for seldom stands in a summary. Halves, because in a long text a word may come again before it tells less; of
    six ways to count them the best on covid_qa."""
    different, counts = np.unique(said, return_counts=True)
    times = np.where(counts > 3, counts // 2, 1)
    if len(different) > OUTLINE_WORDS:  # of equally frequent ones those that come first
        _, first = np.unique(said, return_index=True)
        times[np.lexsort((first, -counts))[OUTLINE_WORDS:]] = 0
    return np.repeat(different, times)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
