"""What the server is given beside its models: doors to the project, which it does not know itself."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    current: Callable[[], str | None] | None = None
    """Gives the id of the release that is current, for a server that follows it."""
