import pytest

from luthier.retrieve import batch
from luthier.retrieve.batch import Draft, NewDocument, batch_of


def document(label: str, said: str, summary: str = "a summary") -> NewDocument:
    drafts = [Draft("chunk", said, (0, len(said))), Draft("summary", summary, (0, 0))]
    return NewDocument(label, "", label, label, said, summary, {}, drafts)


def test_a_summary_is_found_by_its_documents_words_half_as_often_as_they_are_said() -> None:
    made = batch_of([document("one", "bread " * 9 + "salt salt 盐", summary="food"), document("two", "")])
    tokens = [piece.tokens.split(" ") for piece in made.pieces if piece.kind == "summary"]
    assert tokens[0][0] == "food"
    assert sorted(tokens[0][1:]) == ["bread"] * 4 + ["salt", "盐"]
    assert tokens[1] == ["a", "summari"]
    assert made.lengths == {"chunk": [12, 0], "summary": [7, 2]}


def test_which_words_a_summary_keeps_does_not_hang_on_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "OUTLINE_WORDS", 3)
    one = document("one", "pear apple plum fig fig 苹果")
    alone, beside = batch_of([one]), batch_of([document("zero", "plum fig 果 苹 quince apple"), one])
    kept = alone.pieces[1].tokens.split(" ")[2:]
    assert sorted(kept) == ["appl", "fig", "pear"]
    assert sorted(beside.pieces[3].tokens.split(" ")[2:]) == sorted(kept)
