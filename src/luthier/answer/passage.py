"""What an answer is made from: found passages, ready to be shown to a generator and to be cited."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from luthier.retrieve.ports import Chunk


@dataclass(frozen=True)
class Passage:
    """A passage on its way from the search to the prompt. Citations point into `chunk.text`, which is never changed."""

    chunk: Chunk
    score: float
    base: str = ""
    """The name of its knowledge base."""
    why: Mapping[str, float] = field(default_factory=dict)
    """What each way of finding or ordering it said."""
    shown: str | None = None
    """What the generator reads of it where that is less than the whole."""

    @property
    def key(self) -> tuple[str, str, int]:
        """What makes it this passage and no other."""
        return self.base, self.chunk.document, self.chunk.span[0]

    @property
    def read(self) -> str:
        """What the generator reads."""
        return self.chunk.text if self.shown is None else self.shown

    def label(self) -> str:
        """Say where it stands: document, page, headings."""
        chunk = self.chunk
        page = [f"p. {chunk.page}"] if chunk.page is not None else []
        return ", ".join([chunk.document, *page, *([" > ".join(chunk.heading)] if chunk.heading else [])])

    def plain(self) -> dict[str, Any]:
        """Give it as plain JSON, for a trace."""
        chunk = self.chunk
        return {
            "id": chunk.id,
            "base": self.base,
            "document": chunk.document,
            "page": chunk.page,
            "heading": list(chunk.heading),
            "span": list(chunk.span),
            "score": round(self.score, 6),
            "why": {name: round(value, 6) for name, value in self.why.items()},
        }
