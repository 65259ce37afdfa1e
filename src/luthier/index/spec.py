"""What one may ask of a knowledge base."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from luthier.spec import Spec

Count = Annotated[int, Field(ge=1)]


class CutSpec(Spec):
    """How documents are cut into chunks."""

    tokens: Annotated[int, Field(ge=16, le=8192)] = 200
    """The longest chunk, in the embedder's own tokens (in words where there is none); never more than it reads."""
    overlap: Annotated[int, Field(ge=0, le=4096)] = 20
    """How many tokens of whole sentences a chunk repeats of the one before it."""
    parent_tokens: Annotated[int, Field(ge=0, le=65_536)] = 800
    """The longest parent: what is handed over where a chunk in it is found; 0: none."""


class IndexSpec(Spec):
    """How documents become a knowledge base."""

    source: str | tuple[str, ...] = ()
    """Files, folders and patterns. A source given again is followed: what is no longer in it is deleted."""
    name: str = "knowledge"
    """What the knowledge base is called; documents are added to the one of this name."""
    about: str = ""
    """What it knows, in a sentence: it is chosen by it among several."""
    embedder: str = "auto"
    """minilm, e5, use, a folder of sentence-transformers, http://host/v1#model or none; auto: by the language."""
    generator: str = "none"
    """Who writes the summaries that two-step search begins with: `none` (the sentences that hold most of a document),
    `local` (--generator ID), or the URL of an OpenAI API (`http://host/v1#model`)."""
    cut: CutSpec = CutSpec()
    """How documents are cut."""
    metadata: dict[str, Any] = Field(default_factory=dict)
    """What every document of these sources carries, to be filtered by: `{author: Li, year: 2024}`."""
    store: Literal["sqlite", "milvus", "redis", "elasticsearch", "mongodb", "pgvector", "qdrant"] = "sqlite"
    """Where vectors and words lie."""
    store_settings: dict[str, Any] = Field(default_factory=dict)
    """Where the store answers: `{url: ...}` (milvus: `{uri: ...}`; qdrant also `{path: FOLDER}`)."""

    @field_validator("name")
    @classmethod
    def _is_a_folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"[\w][\w.-]{0,63}", value):
            raise ValueError("should be one word of letters, digits, dots and dashes")
        return value

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources as a list, each written in one way: `docs/` and `./docs` are `docs`."""
        given = (self.source,) if isinstance(self.source, str) else self.source
        return tuple(Path(source).as_posix() for source in given)
