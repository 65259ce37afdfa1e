"""What `luthier serve` opens: here, in processes beside the server, or on another machine of a cluster."""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from luthier.artifact.released import CHANNELS, current
from luthier.artifact.store import Store
from luthier.cli.terminal import Terminal
from luthier.engine.ports import ChatModel, Embedder
from luthier.event import Tell
from luthier.recipe.openers import name_or_release, open_named
from luthier.serve.given import Given


@dataclass(frozen=True)
class Serving:
    """What is served, in plain values: it may be sent to another machine that reads the same project."""

    folder: str
    """Where paths begin."""
    project: str
    names: tuple[str, ...]
    """Ids and folders; none: the release that is current, which is followed."""
    embedders: tuple[str, ...]
    dtype: str
    engine: str
    workers: int
    """Processes for each model; 0: in the server."""

    def open(self, tell: Tell) -> tuple[Sequence[ChatModel], Given]:
        """Open the models, and what goes with them."""
        store = Store(self.project)
        open_model = self._opener(store, tell)
        given = Given(
            embedders=_embedders(self.embedders, tell),
            keys=self.keys,
            open_model=open_model,
            redact=_redact,
            channels={} if self.names else {channel: partial(current, store, channel) for channel in CHANNELS},
        )
        return [open_model(name) for name in self.names or (None,)], given

    def open_there(self) -> tuple[Sequence[ChatModel], Given, Tell]:
        """Open the models on a machine of a cluster; what is told goes to its log."""
        os.chdir(self.folder)
        tell = Terminal()
        return (*self.open(tell), tell)

    @property
    def keys(self) -> Path:
        """The project's file of keys."""
        return Path(self.project) / "keys.json"

    def check(self) -> None:
        """Raise LuthierError for a name that is neither an artifact nor a folder, before anything is started."""
        store = Store(self.project)
        for name in self.names or (None,):
            found = name_or_release(store, name)
            if not Path(found).is_dir() and ":" not in found:
                store.find(found)

    def _opener(self, store: Store, tell: Tell) -> Callable[[str | None], ChatModel]:
        def open_here(name: str | None) -> ChatModel:
            return open_named(store, name, dtype=self.dtype, engine=self.engine, tell=tell)

        def open_beside(name: str | None) -> ChatModel:
            from luthier.engine.workers import open_workers

            found = name_or_release(store, name)
            opening = {"project": str(store.root), "open": found, "dtype": self.dtype, "engine": self.engine}
            return open_workers(self.workers, opening, name=Path(found).name, tell=tell)

        return open_beside if self.workers else open_here


def _embedders(names: tuple[str, ...], tell: Tell) -> list[Embedder]:
    if not names:
        return []
    from luthier.engine.embed import open_embedder  # only where vectors are asked for

    return [open_embedder(name, tell) for name in names]


def _redact(text: str) -> str:
    """Mask what names or reaches a person."""
    from luthier.prepare.clean.personal import FINDERS, find, mask  # only where something is kept

    return mask(text, find(text, tuple(FINDERS)))
