"""Documents that other processes make ready."""

import json
import sqlite3
from dataclasses import asdict
from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.errors import DataError
from luthier.event import Chose, Counted, Warned, hush
from luthier.index import ready
from luthier.index.care import check
from luthier.index.parsed import Block, Parsed, from_json
from luthier.index.run import index
from luthier.index.sources import find_files
from luthier.index.spec import IndexSpec
from luthier.retrieve.opening import open_index


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(ready, "BYTES_AT_ONCE", 2_000)
    place = tmp_path / "documents"
    place.mkdir()
    for n in range(60):
        said = f"Thing{n % 7} of number{n} was seen by many people. 第{n}条写明合同应当采用书面形式。\n\n"
        (place / f"d{n:02}.txt").write_text(said * (n % 9 + 1))
    (place / "rows.csv").write_text("name,town\nAda,London\nBo,Oslo\n")
    return place


def dumped(store: Store) -> list[str]:
    found = []
    for path in sorted((store.root / "knowledge").rglob("*.sqlite")):
        with sqlite3.connect(path) as connection:
            found += [f"{path.name}: {line}" for line in connection.iterdump()]
        connection.close()
    return found


def test_one_process_and_two_keep_the_same(folder: Path, tmp_path: Path, told: list[object]) -> None:
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    spec = IndexSpec(source=str(folder), embedder="none")
    first = index(spec, None, one, hush, processes=1)
    assert index(spec, None, two, told.append, processes=2).id == first.id
    assert [event for event in told if isinstance(event, Chose) and (event.what, event.value) == ("processes", "2")]
    assert Counted("documents", {"added": 61}) in told
    lines = dumped(one)
    assert len(lines) > 300
    assert dumped(two) == lines
    assert check(two.root, "knowledge", hush, mend=False).is_whole
    hits = open_index(two.root / "knowledge" / "knowledge").search("number17 书面形式").hits
    assert hits[0].chunk.document.endswith("d17.txt")


def test_what_a_worker_cannot_read_is_told_and_left_out(store: Store, folder: Path, told: list[object]) -> None:
    (folder / "d30.txt").write_bytes(bytes(range(32)) * 300)
    index(IndexSpec(source=str(folder), embedder="none"), None, store, told.append, processes=2)
    assert Counted("documents", {"added": 60, "left out": 1}) in told
    (warned,) = [event for event in told if isinstance(event, Warned)]
    assert "d30.txt" in str(warned)
    with pytest.raises(DataError, match="control characters") as caught:
        index(IndexSpec(source=str(folder / "d30.txt"), embedder="none", name="named"), None, store, hush, processes=2)
    assert caught.value.where.endswith("d30.txt")
    assert caught.value.mend


def test_batches_follow_the_files_in_their_order(folder: Path) -> None:
    files = find_files([str(folder)])
    made = list(ready.made_ready(ready.Setup(IndexSpec(), None), files, 1))
    assert len(made) == ready.count_batches(files) > 4
    assert [read.file for batch in made for read in batch.reads] == files


def test_a_document_is_read_back_as_it_was_also_as_the_first_versions_wrote_it() -> None:
    blocks = [Block("heading", "Fees", 2), Block("text", "", 0, 3), Block("row", "a: 1", metadata={"row": 1})]
    parsed = Parsed("t", blocks, {"type": "text"})
    assert from_json(parsed.to_json(), parsed.text) == parsed
    first = json.dumps({"title": "t", "blocks": [asdict(block) for block in blocks], "metadata": {"type": "text"}})
    assert from_json(first, parsed.text) == parsed
