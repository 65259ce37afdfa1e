"""Cut a document into chunks along its structure: sections, paragraphs, list items, table rows, sentences.

A chunk is one stretch of the document's text, so a citation can be checked by its span. It never crosses a heading; the
headings above it are kept beside it. A table, a list or a paragraph stays whole where it fits.
"""

import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from luthier.index.parsed import BETWEEN, Block, Parsed
from luthier.measure.sentences import Span
from luthier.retrieve.batch import Draft
from luthier.retrieve.follow import ANCHORS, LINKS

CountTokens = Callable[[Sequence[str]], list[int]]

_LINE = re.compile(r"\n+")
_CLAUSE = re.compile(r"[，,、：:；;]\s*|\s+")


def _sentence_spans(block: Block) -> list[Span]:
    """Give the sentences of a block as spans that lie one behind the other and cover it."""
    return _between(block.text, [begin for begin, _ in block.sentences])


def _line_spans(block: Block) -> list[Span]:
    return _between(block.text, [match.end() for match in _LINE.finditer(block.text)])


def _clause_spans(text: str) -> list[Span]:
    return _between(text, [match.end() for match in _CLAUSE.finditer(text)])


def _between(text: str, borders: Sequence[int]) -> list[Span]:
    places = [0, *(place for place in borders if 0 < place < len(text)), len(text)]
    return list(pairwise(places))


LONGEST_HEADS = 200
"""Characters of a table's first line that stand above the pieces of the table."""
SPLIT: Mapping[str, Callable[[Block], list[Span]]] = {
    "text": _sentence_spans,
    "list": _line_spans,
    "table": _line_spans,
    "code": _line_spans,
}
"""Where a block that does not fit may be cut."""


@dataclass(frozen=True)
class Sizes:
    """In the embedder's tokens."""

    tokens: int
    overlap: int
    parent_tokens: int


@dataclass(frozen=True)
class Unit:
    """What is not cut any further."""

    span: Span
    tokens: int
    page: int | None
    heads: str = ""
    """Of a row that was cut off its table: the table's first line."""


@dataclass
class Section:
    """What stands under one heading."""

    heading: tuple[str, ...]
    blocks: list[tuple[Block, int]] = field(default_factory=list)
    """With where each begins in the document's text."""
    heads: list[tuple[str, str]] = field(default_factory=list)
    """What its heading links to, and the names by which that can be linked to; which of both, and the name."""

    def marks(self) -> list[tuple[int, str, str]]:
        """Give where in the document it links to something, or can be linked to: the place, which of both, the name."""
        texts = [(block, begin) for block, begin in self.blocks if block.kind != "row"]
        above = [(texts[0][1], kind, name) for kind, name in self.heads] if texts else []
        return above + sorted(
            (begin + place, kind, name)
            for block, begin in texts
            if block.metadata
            for kind in (ANCHORS, LINKS)
            for place, name in block.metadata.get(kind, ())
        )


def cut(parsed: Parsed, sizes: Sizes, count_tokens: CountTokens) -> list[Draft]:
    """Give a document's chunks and parents, each parent before its children."""
    text = parsed.text
    drafts: list[Draft] = []
    for group in _groups(_sections(parsed), text, sizes, count_tokens):
        pieces = [draft for draft in group if draft.text.strip()]
        if sizes.parent_tokens and len(pieces) > 1 and not any("row" in draft.metadata for draft in pieces):
            span = (min(piece.span[0] for piece in pieces), max(piece.span[1] for piece in pieces))
            heading = _common([piece.heading for piece in pieces])
            parent = Draft("parent", text[slice(*span)], span, heading, pieces[0].page)
            place = len(drafts)
            drafts.append(parent)
            pieces = [
                Draft(piece.kind, piece.text, piece.span, piece.heading, piece.page, place, piece.metadata)
                for piece in pieces
            ]
        drafts.extend(pieces)
    return drafts


def _sections(parsed: Parsed) -> Iterator[Section]:
    path: list[tuple[int, str]] = []
    section = Section(())
    begin = 0
    only_headings: list[tuple[Block, int]] = []
    for block in parsed.blocks:
        if block.kind == "heading":
            if section.blocks:
                yield section
                only_headings = []
            path = [(level, text) for level, text in path if level < block.level]
            path.append((block.level, block.text))
            above = [] if section.blocks else section.heads  # of a heading with nothing of its own
            section = Section(tuple(text for _, text in path), heads=[*above, *_heads(block)])
            only_headings.append((block, begin))
        elif block.text.strip():
            section.blocks.append((block, begin))
            only_headings = []
        begin += len(block.text) + len(BETWEEN)
    if section.blocks:
        yield section
    elif only_headings:  # headings at the end with nothing below them: their words must be found too
        last = [(Block("text", block.text, 0, block.page), place) for block, place in only_headings]
        yield Section(section.heading[:-1], last, section.heads)


def _heads(heading: Block) -> list[tuple[str, str]]:
    """Give a heading's marks; a link into its own page is one to itself, to be copied from there."""
    marks = [(kind, name) for kind in (ANCHORS, LINKS) for _, name in heading.metadata.get(kind, ())]
    return [(kind, name) for kind, name in marks if kind == ANCHORS or not name.startswith("#")]


def _groups(sections: Iterator[Section], text: str, sizes: Sizes, count: CountTokens) -> Iterator[list[Draft]]:
    """Give the chunks of each parent: of neighbouring sections that fit in one, or of a part of a long section."""
    group: list[Draft] = []
    used = 0
    for section in sections:
        chunks = list(_chunks(section, text, sizes, count))
        total = sum(tokens for _, tokens in chunks)
        if group and (used + total > sizes.parent_tokens or not _related(group[-1].heading, section.heading)):
            yield group
            group, used = [], 0
        for draft, tokens in chunks:
            if group and used + tokens > sizes.parent_tokens:
                yield group
                group, used = [], 0
            group.append(draft)
            used += tokens
    if group:
        yield group


def _related(first: tuple[str, ...], second: tuple[str, ...]) -> bool:
    """Whether two sections lie under one outer heading."""
    return first[:1] == second[:1]


def _chunks(section: Section, text: str, sizes: Sizes, count: CountTokens) -> Iterator[tuple[Draft, int]]:
    rows = [(block, begin) for block, begin in section.blocks if block.kind == "row"]
    others = [(block, begin) for block, begin in section.blocks if block.kind != "row"]
    marks = section.marks()
    for units in _pack(_units(others, sizes, count), sizes):
        yield _draft(units, text, section.heading, _between_marks(marks, units) if marks else {})
    for block, begin in rows:
        for units in _pack(_units([(block, begin)], sizes, count), Sizes(sizes.tokens, 0, 0)):
            yield _draft(units, text, section.heading, block.metadata)


def _between_marks(marks: Sequence[tuple[int, str, str]], units: Sequence[Unit]) -> dict[str, list[str]]:
    """Give the marks of a chunk by their kind."""
    found: dict[str, list[str]] = {}
    begin, end = (bisect_left(marks, (place, "", "")) for place in (units[0].span[0], units[-1].span[1]))
    for _, kind, name in marks[begin:end]:
        found.setdefault(kind, []).append(name)
    return found


def _draft(
    units: Sequence[Unit], text: str, heading: tuple[str, ...], metadata: Mapping[str, Any]
) -> tuple[Draft, int]:
    begin, end = units[0].span[0], units[-1].span[1]
    found = text[begin:end]
    begin += len(found) - len(found.lstrip())
    end -= len(found) - len(found.rstrip())
    above = (*heading, units[0].heads) if units[0].heads else heading
    draft = Draft("chunk", text[begin:end], (begin, end), above, units[0].page, None, metadata)
    return draft, sum(unit.tokens for unit in units)


def _units(blocks: Sequence[tuple[Block, int]], sizes: Sizes, count: CountTokens) -> list[Unit]:
    """Give blocks whole where they fit, else their sentences, rows or items, else clauses."""
    whole = [block.text for block, _ in blocks if block.kind != "text"]
    lengths = iter(count(whole) if whole else [])
    units: list[Unit] = []
    for block, begin in blocks:
        if block.kind != "text" and (tokens := next(lengths)) <= sizes.tokens:
            units.append(Unit((begin, begin + len(block.text)), tokens, block.page))
            continue
        spans = SPLIT.get(block.kind, _sentence_spans)(block)
        heads = block.text.partition("\n")[0][:LONGEST_HEADS] if block.kind == "table" else ""
        pieces = _fitting(block.text, spans, sizes.tokens, count)
        units.extend(
            Unit((begin + left, begin + right), tokens, block.page, heads if place else "")
            for place, ((left, right), tokens) in enumerate(pieces)
        )
    return units


def _fitting(text: str, spans: Sequence[Span], most: int, count: CountTokens) -> list[tuple[Span, int]]:
    """Give spans that each fit; one that does not is cut at clauses, and where there are none in the middle."""
    found: list[tuple[Span, int]] = []
    lengths = count([text[left:right] for left, right in spans])
    for (left, right), tokens in zip(spans, lengths, strict=True):
        if tokens <= most or right - left < 2:
            found.append(((left, right), tokens))
            continue
        inner = _clause_spans(text[left:right])
        half = _middle(inner) if len(inner) > 1 else (right - left) // 2
        parts = [(left, left + half), (left + half, right)]
        found.extend(_fitting(text, parts, most, count))
    return found


def _middle(spans: Sequence[Span]) -> int:
    """Give the border between spans that is nearest to the middle of all."""
    middle = spans[-1][1] / 2
    return min((end for _, end in spans[:-1]), key=lambda end: abs(end - middle))


def _pack(units: Sequence[Unit], sizes: Sizes) -> Iterator[list[Unit]]:
    """Put units into chunks that are as full as they may be; each begins with the last sentences of the one before."""
    chunk: list[Unit] = []
    used = 0
    for unit in units:
        if chunk and used + unit.tokens > sizes.tokens:
            yield chunk
            chunk = _tail(chunk, min(sizes.overlap, sizes.tokens - unit.tokens))
            used = sum(kept.tokens for kept in chunk)
        chunk.append(unit)
        used += unit.tokens
    if chunk:
        yield chunk


def _tail(chunk: Sequence[Unit], most: int) -> list[Unit]:
    kept: list[Unit] = []
    for unit in reversed(chunk[1:]):
        if unit.tokens > most:
            break
        kept.insert(0, unit)
        most -= unit.tokens
    return kept


def _common(headings: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    first, *others = headings
    length = len(first)
    for other in others:
        same = next(
            (i for i, (a, b) in enumerate(zip(first, other, strict=False)) if a != b), min(len(first), len(other))
        )
        length = min(length, same)
    return first[:length]
