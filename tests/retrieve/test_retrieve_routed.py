"""Several knowledge bases as one: which are asked for a question, and what comes of it."""

from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.errors import DataError, SpecError
from luthier.event import hush
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index
from luthier.retrieve.routed import RoutedIndex

BASES = {
    "shop": ("Returns, refunds and warranty of a shop", "Goods may be returned within 30 days. The rule is strict."),
    "law": ("中国婚姻法律：离婚、抚养、财产", "离婚后，子女由父母抚养。The rule is strict."),
    "birds": ("Birds: how owls and larks live", "Owls hunt at night. The rule is strict."),
}


@pytest.fixture
def routed(store: Store, tmp_path: Path) -> RoutedIndex:
    for name, (about, text) in BASES.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "one.txt").write_text(text, encoding="utf-8")
        index(IndexSpec(source=str(folder), name=name, about=about, embedder="none"), None, store, hush)
    return RoutedIndex([open_index(store.root / "knowledge" / name) for name in BASES])


@pytest.mark.parametrize(
    ("question", "base"),
    [
        ("How do I get a refund of what I returned?", "shop"),
        ("离婚以后财产怎么分？", "law"),
        ("What do larks and owls eat?", "birds"),
    ],
)
def test_a_question_goes_to_the_base_whose_description_fits(routed: RoutedIndex, question: str, base: str) -> None:
    found = routed.search(question, SearchSpec(way="bm25"))
    assert list(found.routes) == [base]
    assert all(hit.base == base for hit in found.hits)


def test_all_are_asked_where_no_description_says_anything(routed: RoutedIndex) -> None:
    found = routed.search("strict rule", SearchSpec(way="bm25"))
    assert set(found.routes) == set(BASES)
    assert {hit.base for hit in found.hits} == set(BASES)
    assert found.chunks == 3


def test_as_many_are_asked_as_the_settings_say(routed: RoutedIndex) -> None:
    question = "owls and refunds: is the rule strict?"
    assert set(routed.search(question, SearchSpec(way="bm25", bases=2)).routes) == {"shop", "birds"}
    assert len(routed.search(question, SearchSpec(way="bm25")).routes) == 1


def test_a_hit_leads_to_its_own_base(routed: RoutedIndex) -> None:
    hit = routed.search("owls", SearchSpec(way="hybrid", top=1)).hits[0]
    assert routed.parent(hit).text == BASES["birds"][1]
    assert [chunk.text for chunk in routed.around(hit)] == [BASES["birds"][1]]
    assert routed.document(hit.chunk.document, hit.base).text == routed.document(hit.chunk.document).text
    assert len(routed.labels()) == 3
    with pytest.raises(DataError, match="no document 'x'"):
        routed.document("x")


def test_a_description_that_changed_is_heeded(routed: RoutedIndex, store: Store, tmp_path: Path) -> None:
    assert list(routed.search("trains", SearchSpec(way="bm25")).routes) != ["birds"]
    source = str(tmp_path / "birds")
    (tmp_path / "birds" / "two.txt").write_text("Trains leave at noon.")
    index(IndexSpec(source=source, name="birds", about="birds and trains", embedder="none"), None, store, hush)
    assert list(routed.search("trains", SearchSpec(way="bm25")).routes) == ["birds"]


def test_one_base_or_one_twice_is_refused(store: Store, routed: RoutedIndex) -> None:
    base = open_index(store.root / "knowledge" / "shop")
    for bases in ([base], [base, base]):
        with pytest.raises(SpecError, match="not several") as caught:
            RoutedIndex(bases)
        assert caught.value.where == "key bases"
        assert "two or more" in caught.value.mend
