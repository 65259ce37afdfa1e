"""From what was found to what is read: surroundings, near-duplicates, order, budget, compression, order anew."""

import pytest
from made_index import MadeIndex, Scripted, ask

from luthier.answer.passage import Passage
from luthier.answer.sift import fit, leave_out_near_duplicates, to_edges
from luthier.answer.trace import Trace
from luthier.errors import DataError
from luthier.retrieve.ports import Chunk, Document, Hit


def passage(text: str, number: int = 0) -> Passage:
    return Passage(Chunk(number, f"{number}.txt", text), 1.0)


def test_the_best_stand_at_both_ends_counted_in_tokens() -> None:
    """By hand: 300 to the front; 100 and 100 to the back (200 < 300), 150 to the back again, then 50 to the front."""
    ranked = [
        (passage("a", 1), 300),
        (passage("b", 2), 100),
        (passage("c", 3), 100),
        (passage("d", 4), 150),
        (passage("e", 5), 50),
    ]
    assert [each.chunk.id for each in to_edges(ranked)] == [1, 5, 4, 3, 2]


def test_equal_passages_alternate() -> None:
    assert [each.chunk.id for each in to_edges([(passage("x", n), 10) for n in range(1, 6)])] == [1, 3, 5, 4, 2]


def test_a_budget_keeps_the_best_and_cuts_the_first_that_does_not_fit() -> None:
    trace = Trace("q")
    kept = fit([passage("a b c", 1), passage("d e f g", 2), passage("h", 3)], 5, lambda text: len(text.split()), trace)
    assert [(each.read.split(), tokens) for each, tokens in kept] == [(["a", "b", "c"], 3), (["d", "e"], 2)]
    assert trace.steps[-1]["used"] == 5


def test_near_duplicates_of_a_better_passage_are_left_out() -> None:
    text = "The committee shall meet twice a year in the capital and publish its minutes."
    changed = text.replace("minutes", "records")
    other = "Leases of more than twenty years are void beyond the twentieth year."
    trace = Trace("q")
    kept = leave_out_near_duplicates([passage(text, 1), passage(changed, 2), passage(other, 3)], 0.85, trace)
    assert [each.chunk.id for each in kept] == [1, 3]
    assert trace.steps[-1]["left_out"]["document"] == "2.txt"
    assert len(leave_out_near_duplicates([passage(text, 1), passage(changed, 2)], 1.0, trace)) == 2


LONG = {
    "a.txt": "Opening words of no matter.\n\nThe bridge was built in 1901.\n\nClosing words of no matter.",
    "b.txt": "Something else.",
}


@pytest.mark.parametrize(
    ("how", "pages"),
    [("neighbours", LONG["a.txt"]), ("parent", LONG["a.txt"]), ("chunk", "The bridge was built in 1901.")],
)
def test_surroundings_widen_a_passage_and_citations_still_point_into_the_document(how: str, pages: str) -> None:
    answer, _ = ask("When was the bridge built?", LONG, surroundings=how)
    assert answer.details["passages"][0]["text"] == pages
    quote = answer.details["sources"][0]["quotes"][0]
    assert LONG["a.txt"][slice(*quote["span"])] == quote["text"]
    assert "1901" in quote["text"]


class Vanishing(MadeIndex):
    """A base one of whose documents goes, or becomes another, once it was found."""

    what = "deleted"

    def around(self, hit: Hit, before: int = 1, after: int = 1) -> list[Chunk]:
        """Give nothing of it."""
        gone = hit.chunk.document == "a.txt" and self.what == "deleted"
        return [] if gone else super().around(hit, before, after)

    def document(self, label: str, base: str = "") -> Document:
        """Raise as a knowledge base does, or give it as it is now."""
        if label != "a.txt":
            return super().document(label, base)
        if self.what == "changed":
            return Document(label, label, "", "Something else is said here by now.", "")
        raise DataError("there is no document", where="made", mend="none")


@pytest.mark.parametrize("what", ["deleted", "deleted between", "changed"])
def test_a_document_that_goes_after_it_was_found_is_not_read(what: str) -> None:
    base = Vanishing({"a.txt": "The red bridge has 12 arches.", "b.txt": "The red bridge has 3 lamps."})
    base.what = what
    answer, _ = ask("What has the red bridge?", base, surroundings="neighbours")
    assert answer.text == "The red bridge has 3 lamps. [1]"


def test_compression_shows_less_and_citations_still_see_the_whole() -> None:
    text = "Ada Stone drew plans. The bridge was built in 1901. Rain fell often. Boats came by at night."
    writer = Scripted(lambda heard: "The bridge was built in 1901.")
    answer, steps = ask("When was the bridge built?", {"a": text}, writer, compress="sentences")
    shown = writer.heard[0].partition("«")[2].partition("»")[0]
    assert shown == "The bridge was built in 1901. Boats came by at night." or shown.count(".") == 2
    assert "The bridge was built in 1901." in shown
    [step] = [step for step in steps if step["step"] == "compress"]
    assert step["characters_after"] < step["characters_before"]
    quote = answer.details["sources"][0]["quotes"][0]
    assert text[slice(*quote["span"])] == quote["text"]


def test_a_generator_compresses_and_cannot_invent() -> None:
    def say(heard: str) -> str:
        if "Copy from the passage" in heard:
            return "NONE" if "Rain" in heard else "The bridge was built in 2077 on the moon."
        return "The bridge was built in 1901."

    writer = Scripted(say)
    ask(
        "When was the bridge built?",
        {"a": "The bridge was built in 1901.", "b": "Rain fell on the bridge."},
        writer,
        compress="generator",
    )
    shown = writer.heard[-1]
    assert "2077" not in shown
    assert "«The bridge was built in 1901.»" in shown
    assert "Rain" not in shown


def test_late_interaction_orders_by_the_best_sentence() -> None:
    documents = {
        "off.txt": "Bridges bridges when when built built. Nothing of it matters here.",
        "on.txt": "Many words come first here. The bridge was built when kings ruled.",
    }
    index = MadeIndex(documents, has_embedder=True)
    _, steps = ask("The bridge was built when kings ruled", index, rerank="late")
    [step] = [step for step in steps if step["step"] == "rerank"]
    assert step["way"] == "late"
    best = max(range(2), key=lambda place: step["scores"][place])
    searched = next(step for step in steps if step["step"] == "search")["found"]
    assert searched[best]["document"] == "on.txt"


def test_the_generator_gives_marks() -> None:
    documents = {"low": "The bridge is red and old.", "high": "The bridge was built in 1901."}
    marks = {"red": "Mark: 2", "1901": "9.5 of 10"}
    writer = Scripted(
        lambda heard: next((mark for word, mark in marks.items() if word in heard), "?") if "0 (not" in heard else "ok"
    )
    answer, steps = ask("When was the bridge built?", documents, writer, rerank="judge", order="score")
    assert sorted(next(step for step in steps if step["step"] == "rerank")["scores"]) == [2.0, 9.5]
    assert [each["document"] for each in answer.details["passages"]] == ["high", "low"]


def test_without_embedder_and_cross_encoder_there_is_no_order_anew_and_that_is_told() -> None:
    _, steps = ask("When was the bridge built?", LONG)
    assert not [step for step in steps if step["step"] == "rerank"]
