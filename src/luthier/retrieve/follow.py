"""From what was found on: to the sections that a chunk points to, and up to a parent most of whose chunks were found.

A chunk points by a link (of Markdown or a web page), by a number ("section 4.2", "Article 12", "第三十条") or by a
heading's name ("see Refunds", "参见“退货”"). Where it points to is looked up in the catalogue as it is now, so what was
deleted is never followed. Going up is what LlamaIndex calls auto-merging.
"""

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from luthier.retrieve.catalogue import Catalogue, Section
from luthier.retrieve.fusion import Ranking
from luthier.retrieve.ports import Chunk

DEPTH = 2
"""How many links in a row are followed."""
POINTERS_OF_A_CHUNK = 3
CHUNKS_OF_A_POINTER = 2
"""What begins at the place that is pointed to."""
BEHIND = 0.01
"""A chunk that was pointed to stands right behind the one that points: its score is so much of it lower."""
LEAST_HEADING = 4
"""Characters: shorter headings stand in texts by chance."""
MERGED_SHARE = 0.5
"""Of a parent's chunks: where so many are found, at least two, it is given in place of them."""

LINKS, ANCHORS = "_links", "_anchors"
"""Kept for us in a chunk's metadata: what it links to, and the names by which links point to it."""
_LINK = re.compile(r"\]\(\s*<?([^)\s>]*)>?[^)]*\)")
_NUMBERED = re.compile(
    r"\b(?:sections?|chapters?|articles?|appendix|clauses?|§)\s*([0-9]+(?:\.[0-9]+)*|[A-Z])\b|§\s*([0-9]+(?:\.[0-9]+)*)",
    re.I,
)
_CHINESE = re.compile(r"第[零〇一二三四五六七八九十百千0-9]+[条章节](?:之[一二三四五六七八九十])?")
_BEFORE_NAME = r"(?:\bsee(?: also)?|\brefer to|\bcf\.?|\bunder|参见|参照|参阅|详见|见)[\s\"“”'‘「『《*_]*"


@dataclass(frozen=True)
class Pointer:
    """A place that a text names."""

    document: str
    """Its label; '' for the document that the text stands in."""
    name: str
    """How the section's heading or text begins, or its heading as a link spells it; '' for the whole document."""
    is_anchor: bool = False


def follow(catalogue: Catalogue, ranking: Ranking, why: dict[int, dict[str, float]]) -> list[tuple[int, float]]:
    """Put behind each found chunk those it points to, which were not found or stood lower."""
    found: dict[int, float] = {}
    sections: dict[str, Sequence[Section]] = {}
    for number, score in ranking:
        for reached, source in _reach(catalogue, number, sections, DEPTH):
            if reached not in found:
                if source is not None:
                    why.setdefault(reached, {})["linked_from"] = float(source)
                found[reached] = score if source is None else score - BEHIND * abs(score)
    return list(found.items())


def merge(catalogue: Catalogue, ranking: Ranking, why: dict[int, dict[str, float]]) -> list[tuple[int, float]]:
    """Give a parent in place of its chunks, at the place of the best of them, where most of them were found."""
    parents = {number: chunk.parent for number, chunk in catalogue.chunks([number for number, _ in ranking]).items()}
    children: dict[int, list[int]] = {}
    for number, parent in parents.items():
        if parent is not None:
            children.setdefault(parent, []).append(number)
    counts = catalogue.children(list(children))
    merged = {parent for parent, own in children.items() if len(own) > 1 and len(own) >= MERGED_SHARE * counts[parent]}
    found: dict[int, float] = {}
    for number, score in ranking:
        parent = parents.get(number)
        if parent in merged and parent is not None:
            why.setdefault(parent, {"merged": float(len(children[parent]))})
            found.setdefault(parent, score)
        else:
            found[number] = score
    return list(found.items())


def _reach(
    catalogue: Catalogue, number: int, sections: dict[str, Sequence[Section]], depth: int
) -> Iterator[tuple[int, int | None]]:
    """Give a chunk, and what can be reached from it with the chunk that points to it, each once."""
    yield number, None
    seen, edge = {number}, [number]
    for _ in range(depth):
        reached: dict[int, int] = {}
        for source, chunk in catalogue.chunks(edge).items():
            for target in _targets(catalogue, chunk, sections):
                if target not in seen:
                    reached.setdefault(target, source)
        yield from reached.items()
        edge = list(reached)
        seen.update(edge)


def _targets(catalogue: Catalogue, chunk: Chunk, sections: dict[str, Sequence[Section]]) -> list[int]:
    found: list[int] = []
    for pointer in pointers(chunk, [one.heading for one in _sections(catalogue, chunk.document, sections)]):
        label = pointer.document or chunk.document
        held = _sections(catalogue, label, sections)
        found += [one.chunk for one in held if _is_meant(pointer, one)][:CHUNKS_OF_A_POINTER]
    return [number for number in dict.fromkeys(found) if number != chunk.id]


def _sections(catalogue: Catalogue, label: str, known: dict[str, Sequence[Section]]) -> Sequence[Section]:
    if label not in known:
        known[label] = catalogue.sections(label)
    return known[label]


def pointers(chunk: Chunk, headings: Sequence[str]) -> list[Pointer]:
    """Give the places that a chunk points to; `headings` are those of its document."""
    text, found = chunk.text, list[Pointer]()
    kept = chunk.metadata.get(LINKS)
    linked = [target for target in kept if isinstance(target, str)] if isinstance(kept, list) else []
    targets = [match.group(1) for match in _LINK.finditer(text)] + linked
    found += [pointer for target in targets if (pointer := _linked(chunk.document, target))]
    found += [Pointer("", match.group(1) or match.group(2)) for match in _NUMBERED.finditer(text)]
    own = _CHINESE.match(text)
    found += [Pointer("", said) for said in _CHINESE.findall(text) if not own or said != own.group()]
    for heading in dict.fromkeys(headings):
        is_long = len(heading) >= (LEAST_HEADING if heading.isascii() else 2)
        if is_long and re.search(_BEFORE_NAME + re.escape(heading), text, re.I):
            found.append(Pointer("", heading))
    return list(dict.fromkeys(found))[:POINTERS_OF_A_CHUNK]


def _linked(label: str, target: str) -> Pointer | None:
    """Give where a link in this document leads; None where that is no place in a document of ours."""
    try:
        parts = urlsplit(target.strip())
    except ValueError:  # an address with a broken host
        return None
    path, anchor = unquote(parts.path), unquote(parts.fragment)
    if parts.scheme or parts.netloc or not (path or anchor):
        return None
    return Pointer(posixpath.normpath(posixpath.join(posixpath.dirname(label), path)) if path else "", anchor, True)


def _is_meant(pointer: Pointer, section: Section) -> bool:
    if pointer.is_anchor:
        name = pointer.name
        return not name or name in section.anchors or _slug(section.heading) == name.casefold()
    name = re.escape(pointer.name)
    begins = re.compile(rf"(?:section|chapter|article|appendix|clause|§)?\s*{name}(?![\w.]?\d|[0-9A-Za-z])", re.I)
    if begins.match(section.heading):
        return True
    return not pointer.name.isascii() and section.begins.startswith(pointer.name)


def _slug(heading: str) -> str:
    """Spell a heading as GitHub's anchors do."""
    return re.sub(r"[^\w\- ]", "", heading.strip().casefold()).replace(" ", "-")
