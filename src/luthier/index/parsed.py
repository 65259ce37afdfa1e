"""A document as it was read: blocks in their order, and its one text, in which every span is counted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

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


@dataclass(frozen=True)
class Parsed:
    """A document that was read."""

    title: str
    blocks: Sequence[Block]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """All of it."""
        return BETWEEN.join(block.text for block in self.blocks)

    def to_json(self) -> str:
        """Give it as one JSON text."""
        return json.dumps(asdict(self), ensure_ascii=False, default=str)


def from_json(text: str) -> Parsed:
    """Read it back."""
    plain = json.loads(text)
    return Parsed(plain["title"], [Block(**block) for block in plain["blocks"]], plain["metadata"])
