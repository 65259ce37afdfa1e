"""Which chunks a filter lets through, told by SQLite over a catalogue of our own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.retrieve.batch import KINDS, Draft, NewDocument
from luthier.retrieve.catalogue import Catalogue
from luthier.retrieve.filters import allowed
from luthier.retrieve.store_sqlite import SqliteStore
from luthier.retrieve.writer import Writer

YEARS = ("2020", 2021, "unknown", None)
"""Of the rows of a table: as it wrote them; None where there is none."""


@pytest.fixture
def catalogue(tmp_path: Path) -> Iterator[Catalogue]:
    made = Catalogue(tmp_path / "catalogue.sqlite", create=True)
    stores = {kind: SqliteStore(tmp_path / f"{kind}.sqlite", 0) for kind in KINDS}
    rows = [
        Draft("chunk", f"Row {n}.", (0, 6), metadata={} if year is None else {"year": year, "open": n == 0})
        for n, year in enumerate(YEARS)
    ]
    pages = [Draft("chunk", f"Page {n}.", (0, 7), page=n) for n in range(8, 12)]
    documents = [
        NewDocument(label, ".", label, label, "", "", {}, drafts) for label, drafts in (("a", rows), ("b", pages))
    ]
    Writer(made, stores).add(documents, {})
    yield made
    made.close()
    for store in stores.values():
        store.close()


def found(catalogue: Catalogue, where: dict[str, object]) -> list[str]:
    chunks = catalogue.chunks(allowed(catalogue, where) or [])
    return sorted((chunk.text for chunk in chunks.values()), key=lambda text: int(text.split()[1][:-1]))


def test_a_list_may_be_of_any_length_and_of_all_sorts(catalogue: Catalogue) -> None:
    many = [f"none{n}" for n in range(40_000)]
    assert found(catalogue, {"document": [*many, "b"]}) == ["Page 8.", "Page 9.", "Page 10.", "Page 11."]
    assert found(catalogue, {"year": [*range(40_000), "unknown"]}) == ["Row 0.", "Row 1.", "Row 2."]
    assert found(catalogue, {"year": ["unknown", 2020.0]}) == ["Row 0.", "Row 2."]
    assert found(catalogue, {"open": [True, "no"]}) == ["Row 0."]
    assert found(catalogue, {"page": [9, "11", None]}) == ["Page 9.", "Page 11."]
    assert found(catalogue, {"year": []}) == found(catalogue, {"year": None}) == []


def test_what_is_no_number_is_another_value_and_what_is_missing_is_none(catalogue: Catalogue) -> None:
    assert found(catalogue, {"year": {"not": 2020}}) == ["Row 1.", "Row 2."]
    assert found(catalogue, {"year": {"not": "unknown"}}) == ["Row 0.", "Row 1."]
    assert found(catalogue, {"year": {"not": [2020, "unknown"]}}) == ["Row 1."]
    assert found(catalogue, {"open": {"not": True}}) == ["Row 1.", "Row 2."]
    assert found(catalogue, {"page": {"not": 9}}) == ["Page 8.", "Page 10.", "Page 11."]


@pytest.mark.parametrize("ten", [10, "10", 10.0])
def test_pages_are_numbers_however_they_are_asked_for(catalogue: Catalogue, ten: object) -> None:
    assert found(catalogue, {"page": {"from": ten}}) == ["Page 10.", "Page 11."]
    assert found(catalogue, {"page": {"below": ten}}) == ["Page 8.", "Page 9."]
    assert found(catalogue, {"page": ten}) == ["Page 10."]
    assert found(catalogue, {"page": {"not": ten, "above": "8"}}) == ["Page 9.", "Page 11."]
