"""A knowledge base that was damaged, killed, or is read while it is written."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.errors import DataError, StoreError
from luthier.event import Event, Said, hush
from luthier.index.care import check, delete_documents, list_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index
from luthier.retrieve.place import writer_lock

WORKER = """
import sys
from pathlib import Path
from word_embedder import WordEmbedder
from luthier.artifact.store import Store
from luthier.event import hush
from luthier.index import build, ready
from luthier.index.run import index
from luthier.index.spec import IndexSpec
build.open_embedder = lambda name, tell: WordEmbedder()
build.CHUNKS_AT_ONCE = 8
ready.BYTES_AT_ONCE = 400
processes = int(sys.argv[3])
spec = IndexSpec(source=sys.argv[1], embedder="none" if processes else "words")
print("begins", flush=True)
index(spec, None, Store(sys.argv[2]), hush, processes=processes or None)
"""


def documents(folder: Path, count: int) -> Path:
    folder.mkdir(exist_ok=True)
    for n in range(count):
        (folder / f"d{n:03}.txt").write_text(f"Document number{n} tells of thing{n % 7}.\n\nAnd of thing{n % 5} too.\n")
    return folder


@pytest.fixture
def base(store: Store, tmp_path: Path) -> Path:
    index(IndexSpec(source=str(documents(tmp_path / "docs", 12)), embedder="none"), None, store, hush)
    return store.root / "knowledge" / "knowledge"


def generation(base: Path) -> Path:
    return next(path for path in base.iterdir() if path.is_dir())


def test_a_whole_one_is_said_to_be_whole(store: Store, base: Path) -> None:
    health = check(store.root, "knowledge", hush, mend=False)
    assert health.is_whole
    assert health.lines() == ["12 documents, 12 chunks", "whole"]


def test_what_was_damaged_is_found_and_mended(store: Store, base: Path) -> None:
    place = generation(base)
    with sqlite3.connect(place / "catalogue.sqlite") as damaged:
        damaged.execute("DELETE FROM tally WHERE words LIKE '%tell%'")
        damaged.execute("UPDATE document SET state = 'coming' WHERE id = 2")
    with sqlite3.connect(place / "chunk.sqlite") as damaged:
        damaged.execute("DELETE FROM length WHERE id = 1")
    health = check(store.root, "knowledge", hush, mend=False)
    assert health.left == 1
    assert health.missing["chunk"] == (1,)
    assert set(health.wrong_statistics) == {"chunk", "summary"}
    assert not health.is_whole
    assert check(store.root, "knowledge", hush, mend=True).is_whole
    assert [hit.chunk.document[-8:] for hit in open_index(base).search("number0").hits] == ["d000.txt"]


def test_a_writer_at_work_is_waited_for_and_not_taken_for_a_killed_one(store: Store, base: Path) -> None:
    told: list[Event] = []
    found = []
    asking = threading.Thread(target=lambda: found.append(check(store.root, "knowledge", told.append, mend=True)))
    with writer_lock(base, hush), sqlite3.connect(generation(base) / "catalogue.sqlite") as busy:
        busy.execute("UPDATE document SET state = 'coming' WHERE id = 2")
        busy.commit()
        asking.start()
        while not told and asking.is_alive():
            time.sleep(0.01)
        assert asking.is_alive()
        busy.execute("UPDATE document SET state = 'here' WHERE id = 2")
    asking.join(timeout=20)
    assert [event.text for event in told if isinstance(event, Said)] == [
        "another process is changing the knowledge base knowledge: waiting for it"
    ]
    assert found[0].lines() == ["12 documents, 12 chunks", "whole"]


def test_what_is_no_knowledge_base_is_not_made_one_by_looking(store: Store) -> None:
    for look in (
        lambda: check(store.root, "no", hush, mend=True),
        lambda: delete_documents(store.root, "no", [], hush),
    ):
        with pytest.raises(StoreError, match="no knowledge base"):
            look()
    assert not (store.root / "knowledge").exists()


def test_a_deleted_document_is_gone_from_every_path(store: Store, base: Path, tmp_path: Path) -> None:
    reader = open_index(base)
    label = str(tmp_path / "docs" / "d003.txt")
    assert reader.search("number3").hits[0].chunk.document == label
    began = time.perf_counter()
    assert delete_documents(store.root, "knowledge", [label], hush) == 1
    assert reader.search("number3").hits == ()
    assert time.perf_counter() - began < 5
    assert reader.search("tells of", SearchSpec(way="bm25", path="two_step", top=50, documents=50)).documents
    assert label not in list_documents(store.root, "knowledge")
    with pytest.raises(DataError, match="there is no document") as caught:
        delete_documents(store.root, "knowledge", [label], hush)
    assert "luthier index --list" in caught.value.mend
    assert delete_documents(store.root, "knowledge", [str(tmp_path / "docs")], hush) == 11


def kills(store: Store, folder: Path, count: int, processes: int = 0) -> int:
    """Kill ingestions at growing times, each going on where the one before was; gives how many were killed.

    They embed here, or without an embedder are made ready in so many processes.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def begin(root: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", WORKER, str(folder), str(root), str(processes)]
        worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"begins\n"
        return worker

    with begin(store.root.with_name("whole")) as worker:
        began = time.monotonic()
        assert worker.wait() == 0
    whole = time.monotonic() - began
    killed = 0
    for n in range(count):
        with begin(store.root) as worker:
            try:
                assert worker.wait(timeout=whole * (n % 10 + 0.5) / 10) == 0
            except subprocess.TimeoutExpired:
                worker.send_signal(signal.SIGKILL)
                killed += 1
        if worker.returncode == 0 or n % 10 == 9:  # begin anew, so that every stretch of an ingestion is met
            for path in folder.iterdir():
                path.write_text(path.read_text() + f"\nRound{n}.\n")
    with begin(store.root) as worker:
        assert worker.wait() == 0
    return killed


def held_once(store: Store, folder: Path) -> None:
    """Every document is there, once, and whole."""
    labels = list_documents(store.root, "knowledge")
    assert labels == sorted(str(path) for path in folder.iterdir())
    assert check(store.root, "knowledge", hush, mend=False).is_whole
    base = open_index(store.root / "knowledge" / "knowledge")
    for n, label in enumerate(labels):
        hits = base.search(f"number{n}", SearchSpec(way="bm25", top=50)).hits
        assert {hit.chunk.document for hit in hits} == {label}


@pytest.mark.journey
@pytest.mark.slow
def test_a_hundred_kills_lose_and_double_nothing(store: Store, tmp_path: Path) -> None:
    folder = documents(tmp_path / "docs", 200)
    assert kills(store, folder, 100) > 50
    held_once(store, folder)


@pytest.mark.slow
def test_an_ingestion_that_was_killed_goes_on(store: Store, tmp_path: Path) -> None:
    folder = documents(tmp_path / "docs", 60)
    assert kills(store, folder, 2) > 0
    held_once(store, folder)


@pytest.mark.slow
def test_an_ingestion_by_workers_that_was_killed_goes_on(store: Store, tmp_path: Path) -> None:
    folder = documents(tmp_path / "docs", 60)
    assert kills(store, folder, 3, processes=2) > 0
    held_once(store, folder)
