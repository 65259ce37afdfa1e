"""Readers and a writer at the same time: no error, and nothing is found that was deleted before it was asked for."""

import threading
import time
from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.event import hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index

READERS = 8


def together(store: Store, folder: Path, seconds: float) -> tuple[int, int]:
    """Read with 8 readers while documents come and go; gives how many searches and how many changes there were."""
    folder.mkdir()
    spec = IndexSpec(source=str(folder), embedder="none")
    for n in range(20):
        (folder / f"d{n:02}.txt").write_text(f"everywhere number{n}")
    index(spec, None, store, hush)
    gone_at: dict[str, float] = {}
    errors: list[BaseException] = []
    searches, changes = [0] * READERS, 0
    end = time.monotonic() + seconds

    def read(place: int) -> None:
        base = open_index(store.root / "knowledge" / "knowledge")
        try:
            while time.monotonic() < end:
                before = dict(gone_at)
                hits = base.search("everywhere", SearchSpec(way="bm25", top=50)).hits
                stale = [hit.chunk.document for hit in hits if hit.chunk.document in before]
                assert stale == []
                assert len({hit.chunk.document for hit in hits}) == len(hits)
                searches[place] += 1
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read, args=(place,)) for place in range(READERS)]
    for thread in threads:
        thread.start()
    while time.monotonic() < end and not errors:
        label = str(folder / (f"d{changes:02}.txt" if changes < 20 else f"e{changes - 20:04}.txt"))
        delete_documents(store.root, "knowledge", [label], hush)
        gone_at[label] = time.monotonic()  # a label never comes again, so a stale hit can be told
        Path(label).rename(folder / f"e{changes:04}.txt")
        index(spec, None, store, hush)
        changes += 1
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return sum(searches), changes


@pytest.mark.slow
def test_readers_never_find_what_is_gone(store: Store, tmp_path: Path) -> None:
    searches, changes = together(store, tmp_path / "docs", 3)
    assert searches > 10
    assert changes > 0


@pytest.mark.journey
def test_eight_readers_and_a_writer_for_a_minute(store: Store, tmp_path: Path) -> None:
    searches, changes = together(store, tmp_path / "docs", 60)
    assert searches > 500
    assert changes > 20
