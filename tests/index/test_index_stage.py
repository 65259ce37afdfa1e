import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from word_embedder import WordEmbedder

from luthier.artifact.store import Store
from luthier.errors import DataError, SpecError, StoreError
from luthier.event import Counted, hush
from luthier.index import build
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import CutSpec, IndexSpec
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase, open_index


@pytest.fixture
def embedder(monkeypatch: pytest.MonkeyPatch) -> WordEmbedder:
    made = WordEmbedder()
    monkeypatch.setattr(build, "open_embedder", lambda name, tell: made)
    return made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "documents"
    place.mkdir()
    (place / "cats.md").write_text("# Cats\n\nCats purr. They sleep all day.\n\n## Food\n\nCats eat fish.\n")
    (place / "dogs.txt").write_text("Dogs bark at night.\n\nDogs eat bones.\n")
    (place / "law.txt").write_bytes("离婚登记需要户口簿。\n\n租赁合同应当采用书面形式。".encode("gb18030"))
    return place


def spec_of(folder: Path, **more: object) -> IndexSpec:
    return IndexSpec(source=str(folder), embedder="words", **more)


def opened(store: Store, embedder: WordEmbedder) -> KnowledgeBase:
    return open_index(store.root / "knowledge" / "knowledge", embedder)


def test_a_chunk_that_is_found_can_be_checked_by_its_span(store: Store, folder: Path, embedder: WordEmbedder) -> None:
    made = index(spec_of(folder), None, store, hush)
    base = open_index(made.folder, embedder)
    for way in ("bm25", "dense", "hybrid"):
        found = base.search("what do cats eat", SearchSpec(way=way, top=1))
        (hit,) = found.hits
        assert hit.chunk.heading == ("Cats", "Food")
        assert hit.chunk.text == "Cats eat fish."
        begin, end = hit.chunk.span
        assert base.document(hit.chunk.document).text[begin:end] == hit.chunk.text


def test_chinese_in_gb18030_is_found_in_chinese(store: Store, folder: Path, embedder: WordEmbedder) -> None:
    index(spec_of(folder), None, store, hush)
    hit = opened(store, embedder).search("书面租赁合同", SearchSpec(way="bm25", top=1)).hits[0]
    assert "租赁合同应当采用书面形式" in hit.chunk.text


def test_what_did_not_change_is_not_embedded_again(
    store: Store, folder: Path, embedder: WordEmbedder, told: list[object]
) -> None:
    first = index(spec_of(folder), None, store, hush)
    embedder.embedded.clear()
    assert index(spec_of(folder), None, store, hush).id == first.id
    assert embedder.embedded == []
    (folder / "dogs.txt").write_text("Dogs bark at night.\n\nDogs eat meat.\n")
    (folder / "cats.md").unlink()
    second = index(spec_of(folder, cut=CutSpec(tokens=16)), None, store, hush)
    embedder.embedded.clear()
    longer = "Dogs bark at night and at noon, all day long, whoever comes by."
    (folder / "dogs.txt").write_text(f"{longer}\n\nDogs eat meat.\n")
    third = index(spec_of(folder, cut=CutSpec(tokens=16)), None, store, told.append)
    assert len({first.id, second.id, third.id}) == 3
    assert Counted("documents", {"changed": 1, "unchanged": 1}) in told
    assert not any("离婚" in text for text in embedder.embedded)


def test_a_file_that_left_its_folder_is_never_found_again(store: Store, folder: Path, embedder: WordEmbedder) -> None:
    index(spec_of(folder), None, store, hush)
    reader = opened(store, embedder)
    assert reader.search("cats purr").hits[0].chunk.document.endswith("cats.md")
    (folder / "cats.md").unlink()
    index(spec_of(folder), None, store, hush)
    for way in ("bm25", "dense", "hybrid"):
        for path in ("plain", "two_step"):
            found = reader.search("cats purr", SearchSpec(way=way, path=path, top=50))
            assert [hit for hit in found.hits if "cats" in hit.chunk.document] == []
    assert not any("cats" in label for label in reader.labels())


@pytest.mark.parametrize(
    ("first", "then"), [("docs", "docs/"), ("docs/", "./docs"), ("docs/*.txt", "docs"), ("docs/b.txt", "docs")]
)
def test_a_file_that_is_gone_is_gone_however_its_folder_is_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str, then: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("docs").mkdir()
    for name in ("a.txt", "b.txt"):
        Path("docs", name).write_text(f"Of {name}.")
    index(IndexSpec(source=first, embedder="none"), None, store, hush)
    Path("docs/b.txt").unlink()
    index(IndexSpec(source=then, embedder="none"), None, store, hush)
    assert open_index(store.root / "knowledge" / "knowledge").labels() == ["docs/a.txt"]


def test_the_folder_one_is_in_is_followed_as_any_other(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    for folder in (here / "docs", tmp_path / "beside"):
        folder.mkdir(parents=True)
        for name in ("a.txt", "b.txt"):
            (folder / name).write_text(f"Of {name}.")
    monkeypatch.chdir(here)
    outside = str(tmp_path / "beside" / "a.txt")
    index(IndexSpec(source=("docs", "../beside", outside), embedder="none"), None, store, hush)
    (here / "docs" / "b.txt").unlink()
    Path("../beside/b.txt").unlink()
    index(IndexSpec(source="./", embedder="none"), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    elsewhere = ["../beside/a.txt", "../beside/b.txt", outside]
    assert base.labels() == [*elsewhere, "docs/a.txt"]
    assert delete_documents(store.root, "knowledge", ["."], hush) == 1
    assert base.labels() == elsewhere
    assert delete_documents(store.root, "knowledge", ["../beside"], hush) == 2


def test_what_lies_elsewhere_or_is_still_there_stays(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("docs", "docs2"):
        Path(folder).mkdir()
        Path(folder, "a.txt").write_text(f"Of {folder}.")
    index(IndexSpec(source=("docs/a.txt", "docs2"), embedder="none"), None, store, hush)
    Path("docs2/a.txt").unlink()
    Path("docs/b.md").write_text("Of b.")
    index(IndexSpec(source="docs/*.md", embedder="none"), None, store, hush)
    index(IndexSpec(source="docs", embedder="none"), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    assert base.labels() == ["docs/a.txt", "docs/b.md", "docs2/a.txt"]
    assert delete_documents(store.root, "knowledge", ["./docs/", "docs2//a.txt"], hush) == 3
    assert base.labels() == []


def test_the_same_order_brings_back_what_was_deleted_in_between(
    store: Store, folder: Path, embedder: WordEmbedder
) -> None:
    made = index(spec_of(folder), None, store, hush)
    text = (folder / "cats.md").read_text()
    (folder / "cats.md").unlink()
    index(spec_of(folder), None, store, hush)
    (folder / "cats.md").write_text(text)
    assert index(spec_of(folder), None, store, hush).id == made.id
    assert opened(store, embedder).search("cats purr").hits[0].chunk.document.endswith("cats.md")


def test_other_settings_make_a_new_generation_and_readers_follow(
    store: Store, folder: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(spec_of(folder), None, store, hush)
    wide = WordEmbedder(width=64, name="wide")
    monkeypatch.setattr(build, "open_embedder", lambda name, tell: wide)
    index(IndexSpec(source=str(folder / "dogs.txt"), embedder="wide"), None, store, hush)
    base = opened(store, wide)
    assert len(base.labels()) == 3
    assert base.search("cats purr", SearchSpec(way="dense")).hits[0].chunk.document.endswith("cats.md")
    with pytest.raises(DataError, match="32 numbers, the index has 64") as caught:
        opened(store, embedder)
    assert "luthier index embedder=" in caught.value.mend


def test_a_parent_of_another_generation_is_not_taken_for_the_one_that_was_found(
    store: Store, folder: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "dogs.txt").write_text("Dogs bark at night.\n\n" + "Dogs eat meat and bones all day long.\n\n" * 9)
    index(spec_of(folder, cut=CutSpec(tokens=16, overlap=0)), None, store, hush)
    base = opened(store, embedder)
    [hit] = base.search("dogs bark", SearchSpec(way="bm25", top=1)).hits
    assert len(base.parent(hit).text) > len(hit.chunk.text)
    index(spec_of(folder, cut=CutSpec(tokens=40, overlap=0)), None, store, hush)
    assert base.search("cats purr").hits  # as another thread may, in between
    for number in range(1, 12):
        found = base.parent(replace(hit, chunk=replace(hit.chunk, parent=number)))
        assert (found.document, found.text[:10]) == (hit.chunk.document, "Dogs bark ")


def test_a_store_that_is_down_leaves_nothing_behind_and_the_base_as_it_was(
    store: Store, folder: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(spec_of(folder), None, store, hush)
    place = store.root / "knowledge" / "knowledge"
    before = sorted(path.name for path in place.iterdir())

    def refuse(*given: object) -> None:
        raise StoreError("it is down", where="here", mend="start it")

    monkeypatch.setattr(build, "open_store", refuse)
    with pytest.raises(StoreError, match="it is down"):
        index(spec_of(folder).model_copy(update={"store": "redis"}), None, store, hush)
    assert sorted(path.name for path in place.iterdir()) == before
    assert opened(store, embedder).search("cats purr").hits


@pytest.mark.parametrize("held", [[], [7]])
def test_what_was_opened_before_a_store_failed_is_closed_and_taken_away_if_empty(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch, held: list[int]
) -> None:
    calls: list[str] = []

    class Opened:
        def ids(self) -> list[int]:
            return held

        def drop(self) -> None:
            calls.append("drop")
            raise StoreError("it is down too", where="here", mend="start it")

        def close(self) -> None:
            calls.append("close")

    def second_fails(name: str, kind: str, *given: object) -> Opened:
        if calls:
            raise StoreError("it is down", where="here", mend="start it")
        calls.append("open")
        return Opened()

    monkeypatch.setattr(build, "open_store", second_fails)
    with pytest.raises(StoreError, match=r"it is down\n"):
        index(IndexSpec(source=str(folder), embedder="none", store="redis"), None, store, hush)
    assert calls == (["open", "close"] if held else ["open", "drop", "close"])


def test_a_new_generation_goes_on_counting_revisions(
    store: Store, folder: Path, embedder: WordEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("Cats sleep.", "Cats hunt.", "Cats climb."):
        (folder / "cats.md").write_text(text)
        index(spec_of(folder), None, store, hush)
    before = opened(store, embedder).revision
    monkeypatch.setattr(build, "open_embedder", lambda name, tell: WordEmbedder(name="other"))
    index(spec_of(folder).model_copy(update={"embedder": "other"}), None, store, hush)
    assert opened(store, embedder).revision > before


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"price": 9}, ["pear"]),
        ({"price": {"from": 9}}, ["plum", "pear"]),
        ({"price": {"below": 10}}, ["pear"]),
        ({"price": [9, 100]}, ["plum", "pear"]),
        ({"price": "9.0"}, ["pear"]),
        ({"fresh": True}, ["pear"]),
        ({"fresh": {"not": True}}, ["plum"]),
        ({"picked": {"from": date(2024, 2, 1)}}, ["fig", "pear"]),
        ({"name": "plum"}, ["plum"]),
    ],
)
def test_columns_are_filtered_as_what_they_mean(
    store: Store, tmp_path: Path, where: dict[str, object], found: list[str]
) -> None:
    rows = "name,price,fresh,picked\nplum,100,False,2024-01-31\npear,9.0,True,2024-02-01\nfig,dear,,2024-03-01\n"
    (tmp_path / "fruit.csv").write_text(rows)
    index(IndexSpec(source=str(tmp_path / "fruit.csv"), embedder="none"), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    hits = base.search("name price fresh picked", SearchSpec(way="bm25", where=where)).hits
    assert sorted(hit.chunk.metadata["name"] for hit in hits) == sorted(found)


def test_filters_keep_what_they_say(store: Store, folder: Path, embedder: WordEmbedder) -> None:
    index(spec_of(folder, metadata={"year": 2024}), None, store, hush)
    base = opened(store, embedder)

    def find(where: dict[str, object]) -> set[str]:
        return {hit.chunk.metadata["type"] for hit in base.search("cats eat fish", SearchSpec(where=where)).hits}

    assert find({"type": "text"}) == {"text"}
    assert find({"type": ["markdown", "pdf"], "year": {"from": 2024, "below": 2025}}) == {"markdown"}
    assert find({"year": {"above": 2024}}) == set()
    assert find({"year": "2024", "type": "text"}) == {"text"}
    assert find({"year": {"not": 2024}}) == find({"year": []}) == set()
    with pytest.raises(SpecError, match="nearly") as caught:
        find({"year": {"nearly": 3}})
    assert caught.value.where == "key where.year"


@pytest.mark.parametrize(
    ("source", "says", "mend"),
    [
        ("cats.mdd", "there is no file", "did you mean"),
        ("empty", "holds no documents", ".md"),
        ("*.pdq", "0 files match", ".md"),
        ("photo.jpeg", "cannot be told from its name", ".md"),
    ],
)
def test_a_source_without_documents_is_refused(store: Store, folder: Path, source: str, says: str, mend: str) -> None:
    (folder / "empty").mkdir()
    (folder / "photo.jpeg").write_bytes(b"x")
    with pytest.raises(DataError, match=says) as caught:
        index(IndexSpec(source=str(folder / source)), None, store, hush)
    assert mend in caught.value.mend
    assert source.strip("*") in caught.value.where


def test_without_sources_nothing_is_made(store: Store) -> None:
    with pytest.raises(SpecError, match="no source") as caught:
        index(IndexSpec(), None, store, hush)
    assert caught.value.where == "key source"


def test_a_base_of_another_version_is_told_and_made_anew(store: Store, folder: Path, embedder: WordEmbedder) -> None:
    made = index(spec_of(folder), None, store, hush)
    path = store.root / "knowledge" / "knowledge" / "current.json"
    plain = json.loads(path.read_text())
    del plain["words"]  # as the first version wrote it
    path.write_text(json.dumps(plain))
    with pytest.raises(StoreError, match="made by another version") as caught:
        opened(store, embedder)
    assert "the same luthier index command" in caught.value.mend
    assert index(spec_of(folder), None, store, hush).id == made.id
    assert opened(store, embedder).search("a cat eating", SearchSpec(way="bm25")).hits[0].chunk.heading[-1] == "Food"
