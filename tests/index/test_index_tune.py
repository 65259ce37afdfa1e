"""How documents are best cut is found by questions about them."""

import json
import random
from pathlib import Path

import pytest
import yaml
from word_embedder import WordEmbedder

from luthier.artifact.questions import Asked, read_questions
from luthier.artifact.store import Store
from luthier.errors import DataError, SpecError
from luthier.event import Chose, hush
from luthier.index import tune as tuning
from luthier.index.made_questions import make_questions
from luthier.index.parsed import Parsed
from luthier.index.read_text import paragraphs
from luthier.index.run import index
from luthier.index.spec import CutSpec, IndexSpec
from luthier.index.trial import ranks
from luthier.index.tune import tune
from luthier.measure.words import words
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index

TOWNS = ["Arlen", "Borne", "Corvo", "Delft", "Elmau", "Fermo", "Gorze", "Halle", "Ivrea", "Jever", "Kolin", "Lucca"]
THINGS = ["bridge", "tower", "market", "harbour", "library", "mill"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve long documents that tell of the same things, each in one sentence among many."""
    draw = random.Random(0)
    place = tmp_path / "towns"
    place.mkdir()
    asked = []
    for town in TOWNS:
        said = []
        for thing in THINGS:
            year = draw.randrange(1200, 1900)
            said.append(f"The {thing} of {town} was opened in {year}.")
            asked.append(
                {"question": f"When was the {thing} of {town} opened?", "documents": f"{town}.txt", "answer": str(year)}
            )
        filler = [f"In {town} people like the {draw.choice(THINGS)} and walk there {n} times." for n in range(60)]
        draw.shuffle(said)
        for n, sentence in enumerate(said):
            filler.insert(n * 9 + draw.randrange(9), sentence)
        (place / f"{town}.txt").write_text("\n\n".join(filler))
    (tmp_path / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    return place


def test_the_ranks_are_those_of_a_knowledge_base_that_is_cut_so(folder: Path, store: Store) -> None:
    asked = read_questions(folder.parent / "asked.jsonl")
    documents = {
        f"{folder}/{town}.txt": Parsed(town, paragraphs((folder / f"{town}.txt").read_text())) for town in TOWNS
    }
    sought = [one for each in asked if (one := tuning._sought(each, documents))]
    cut = CutSpec(tokens=40, overlap=0)
    found = ranks(documents, cut, None, sought, 5)
    index(IndexSpec(source=str(folder), embedder="none", cut=cut), None, store, hush)
    base = open_index(store.root / "knowledge" / "knowledge")
    assert len(asked) == len(found) == 72
    for each, rank in zip(asked, found, strict=True):
        hits = base.search(each.question, SearchSpec(way="bm25", top=5)).hits
        right = [
            n
            for n, hit in enumerate(hits, 1)
            if f"opened in {each.answer}" in hit.chunk.text and hit.chunk.document.endswith(each.documents[0])
        ]
        assert rank == (right[0] if right else 0)
    assert (found > 0).any()


def test_the_best_cut_is_written_as_settings_that_can_be_used(folder: Path, store: Store) -> None:
    spec = IndexSpec(source=str(folder), embedder="none", name="towns")
    found = tune(spec, read_questions(folder.parent / "asked.jsonl"), store.root, hush)
    assert [one.cut.tokens for one in found.tried[:4]] == [200, 100, 400, 800]
    assert found.choosing + found.proving == 72
    assert min(found.choosing, found.proving) > 10
    assert found.proof.gain >= 0
    assert all(gain.low <= gain.gain <= gain.high for gain in found.gains)
    settings = yaml.safe_load(found.files[0].read_text())
    assert IndexSpec.model_validate(settings).cut == found.best.cut
    assert yaml.safe_load(found.files[1].read_text())["passages"] == found.top
    assert f"cut.tokens={found.best.cut.tokens}" in "\n".join(found.lines())
    again = tune(spec, read_questions(folder.parent / "asked.jsonl"), store.root, hush)
    assert again.lines() == found.lines()


def test_an_embedder_reads_no_more_than_it_can(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch, told: list[object]
) -> None:
    embedder = WordEmbedder()
    monkeypatch.setattr(tuning, "open_embedder", lambda name, tell: embedder)
    monkeypatch.setattr(tuning, "EMBEDDED_TOKENS", 4_000)
    asked = read_questions(folder.parent / "asked.jsonl")
    found = tune(IndexSpec(source=str(folder), embedder="words"), asked, store.root, told.append)
    [chose] = [event for event in told if isinstance(event, Chose)]
    assert chose.value.endswith("of 12")
    assert found.choosing + found.proving < 72
    assert len(embedder.embedded) == len(set(embedder.embedded))


def test_questions_are_made_of_two_sentences_that_stand_together(folder: Path) -> None:
    documents = {town: Parsed(town, paragraphs((folder / f"{town}.txt").read_text())) for town in TOWNS}
    documents["law"] = Parsed(
        "law", paragraphs("夫妻共同财产归夫妻共同所有。双方有平等的处理权和使用权。子女由双方共同抚养。" * 3)
    )
    made = make_questions(documents)
    assert len(made) == 200
    assert made == make_questions(documents)
    assert {label for one in made for label, _ in one.places} == set(documents)
    for one in made:
        [(label, place)] = one.places
        assert place is not None
        text = documents[label].text
        around = set(words(text[max(0, place - 120) : place + 120], bigrams=True))
        assert set(one.question.split()) <= around


def test_too_few_questions_and_unknown_documents_are_refused(folder: Path, store: Store) -> None:
    spec = IndexSpec(source=str(folder), embedder="none")
    with pytest.raises(DataError, match="3 questions are too few") as caught:
        tune(spec, [Asked("When was it?", (), ("Arlen.txt",))] * 3, store.root, hush)
    assert caught.value.where == "--tune"
    assert "without a file" in caught.value.mend
    with pytest.raises(DataError, match=r"'Rome.txt' is no document") as caught:
        tune(spec, [Asked("When was it?", (), ("Rome.txt",))], store.root, hush)
    assert "When was it?" in caught.value.where
    assert "--list" in caught.value.mend
    with pytest.raises(SpecError, match="no source is given") as bare:
        tune(IndexSpec(), None, store.root, hush)
    assert bare.value.where == "key source"
    assert "--tune" in bare.value.mend
