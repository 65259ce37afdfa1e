"""What the server is given beside its models: doors to the project, which it does not know itself."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from luthier.engine.ports import ChatModel, Embedder


@dataclass(frozen=True)
class Given:
    """Nothing of it must be there; what is not there cannot be asked of the server."""

    embedders: Sequence[Embedder] = ()
    """What makes vectors for /v1/embeddings."""
    keys: Path | None = None
    """The file of keys (`luthier keys make`)."""
    open_model: Callable[[str], ChatModel] | None = None
    """Opens what a person names (an artifact's id, a folder), for models that are put while serving."""
    redact: Callable[[str], str] | None = None
    """Masks personal data in a text, for what is kept."""
    channels: Mapping[str, Callable[[], str | None]] = field(default_factory=dict)
    """Channel -> what gives the id of its current release, for a server that follows it; `stable` is what it serves."""
