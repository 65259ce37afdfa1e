"""Fixtures that every room may use: a store, the tiny seeded model, a list of what was told, the real data."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.event import Event, hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec

REPOSITORY = Path(__file__).parent.parent


class Told(list[Event]):
    """What was told, in order; may be passed as the `Tell` itself."""

    def __call__(self, event: Event) -> None:
        self.append(event)


@pytest.fixture
def told() -> Told:
    """Collect events: `def test_...(told: list[Event])`, `stage(..., told.append)`, then look at the list."""
    return Told()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give an empty store of this test's own."""
    return Store(tmp_path / ".luthier")


@pytest.fixture(scope="session")
def tiny_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Give the session's store, where `tiny_model` lies. Others may add to it, never remove."""
    return Store(tmp_path_factory.mktemp("session") / ".luthier")


@pytest.fixture(scope="session")
def tiny_model(tiny_store: Store) -> Artifact:
    """Give the seeded random Llama of about 1 MB, made once a session (context 512, ChatML, pad id 0, end id 2)."""
    return fetch(FetchSpec(source="tiny:llama"), tiny_store, hush)


@pytest.fixture(scope="session")
def data_folder() -> Callable[[str], Path]:
    """Give a function: name of a real data set -> its folder, skipping the test by that name where it is not here."""
    root = Path(os.environ.get("LUTHIER_DATA") or REPOSITORY.parent / "shared" / "data")

    def find(name: str) -> Path:
        folder = root / name
        if not folder.exists():
            pytest.skip(f"no real data {name!r}: {folder} does not exist (set LUTHIER_DATA)")
        return folder

    return find
