"""Checksums that are remembered: never wrong, and fast."""

import os
import time
from pathlib import Path

import pytest

from luthier.artifact import atomic
from luthier.artifact.store import Artifact, Store
from luthier.event import hush
from luthier.fetch import digests
from luthier.fetch.digests import Digests
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Give the files that were really read, as they are; files count as settled at once."""
    seen: list[Path] = []
    true = atomic.sha256

    def watch(path: Path) -> str:
        seen.append(path)
        return true(path)

    monkeypatch.setattr("luthier.fetch.digests.atomic.sha256", watch)
    monkeypatch.setattr("luthier.fetch.digests.SETTLED_SECONDS", -1.0)
    return seen


def test_a_file_as_it_was_is_not_read_again(tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    first = Digests(tmp_path / "known.json")
    digest = first.sha256(path)
    first.save()
    again = Digests(tmp_path / "known.json")
    assert again.sha256(path) == digest
    assert digest == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"  # sha256sum of `one`
    assert hashed == [path]


def test_a_change_that_keeps_size_and_time_of_writing_is_seen(tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    known = Digests(tmp_path / "known.json")
    before = known.sha256(path)
    times = path.stat()
    time.sleep(0.02)  # a tick of the file system's clock
    path.write_bytes(b"two")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert path.stat().st_mtime_ns == times.st_mtime_ns
    assert known.sha256(path) != before
    other = tmp_path / "other"
    other.write_bytes(b"333")
    other.replace(path)
    assert known.sha256(path) == "556d7dc3a115356350f1f9910b1af1ab0e312d4b3e4fc788d2da63668f36d017"  # sha256sum


def test_a_file_changed_a_moment_ago_is_not_remembered(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    known = Digests(tmp_path / "known.json")
    known.sha256(path)
    known.save()
    assert not (tmp_path / "known.json").exists()


def test_a_torn_or_foreign_memory_is_forgotten(tmp_path: Path, hashed: list[Path]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"one")
    for content in ("{", "[]", '{"a": 1}'):
        (tmp_path / "known.json").write_text(content)
        Digests(tmp_path / "known.json").sha256(path)
    assert hashed == [path] * 3


def test_only_the_newest_are_kept(tmp_path: Path, hashed: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "REMEMBERED", 2)
    paths = [tmp_path / name for name in "abc"]
    known = Digests(tmp_path / "known.json")
    for path in paths:
        path.write_bytes(b"x")
        known.sha256(path)
    known.save()
    again = Digests(tmp_path / "known.json")
    hashed.clear()
    for path in paths:
        again.sha256(path)
    assert hashed == [paths[0]]


def test_a_folder_fetched_again_is_not_read_again(tiny_model: Artifact, store: Store, hashed: list[Path]) -> None:
    first = fetch(FetchSpec(source=str(tiny_model.folder)), store, hush)
    assert hashed
    hashed.clear()
    assert fetch(FetchSpec(source=str(tiny_model.folder)), store, hush).id == first.id
    assert hashed == []
    assert fetch(FetchSpec(source=str(tiny_model.folder)), Store(store.root, dry=True), hush).id == first.id
    assert hashed == []
