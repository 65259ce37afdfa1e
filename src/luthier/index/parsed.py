"""A document as it was read: blocks in their order, and its one text, in which every span is counted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from luthier.measure.sentences import Span, sentences

BETWEEN = "\n\n"
"""What stands between two blocks in the document's text."""


SCANNED = "pages_without_text"
"""In a document's metadata: the pages that are pictures, whose text was not read."""


@dataclass(frozen=True)
class Block:
    """A piece that its format sets apart."""

    kind: Literal["heading", "text", "list", "table", "code", "row"]
    text: str
    level: int = 0
    """Of a heading: 1 is the outermost."""
    page: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def sentences(self) -> list[Span]:
        """Where its sentences begin and end, in its own text."""
        return sentences(self.text)


@dataclass(frozen=True)
class Parsed:
    """A document that was read."""

    title: str
    blocks: Sequence[Block]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def text(self) -> str:
        """All of it."""
        return BETWEEN.join(block.text for block in self.blocks)

    def to_json(self) -> str:
        """Give it as one JSON text, without its own, of which blocks say only how long theirs is."""
        blocks = [(block.kind, len(block.text), block.level, block.page, block.metadata) for block in self.blocks]
        plain = {"title": self.title, "blocks": blocks, "metadata": self.metadata}
        return json.dumps(plain, ensure_ascii=False, default=str)


def from_json(written: str, text: str) -> Parsed:
    """Read it back, beside its text."""
    plain = json.loads(written)
    blocks = []
    begin = 0
    for block in plain["blocks"]:
        if isinstance(block, dict):  # as the first versions wrote it, with its text
            blocks.append(Block(**block))
            continue
        kind, length, level, page, metadata = block
        blocks.append(Block(kind, text[begin : begin + length], level, page, metadata))
        begin += length + len(BETWEEN)
    return Parsed(plain["title"], blocks, plain["metadata"])
