"""Advice is drawn from counts, and names them."""

from dataclasses import replace

from luthier.prepare.lint.advice import Figures, advise

GOOD = Figures(
    task="supervised",
    rows=5000,
    learned=400_000,
    lengths={"p50": 120, "p90": 300, "p99": 450, "p100": 500},
    max_tokens=512,
    openings=900,
    commonest=300,
    replies=4990,
    answer=240,
    alike=10,
)


def test_good_data_are_called_good_and_nothing_is_to_be_changed() -> None:
    advice = advise(GOOD)
    assert set(advice) == {"rows", "epochs", "diversity"}
    assert advice["rows"].startswith("5,000 training rows are enough")
    assert "learn.epochs=2" in advice["epochs"]
    assert advice["diversity"] == (
        "The rows are diverse enough: questions begin in 900 different ways; 6% begin as most do."
    )


def test_few_and_many_rows_get_other_advice() -> None:
    assert "20 training rows are very few" in advise(replace(GOOD, rows=20))["rows"]
    assert "a tone, a form or one narrow task" in advise(replace(GOOD, rows=500))["rows"]
    assert "limit.train=20000" in advise(replace(GOOD, rows=500_000))["rows"]
    assert "learn.epochs=3" in advise(replace(GOOD, rows=500))["epochs"]
    assert "learn.epochs=1" in advise(replace(GOOD, rows=52_000))["epochs"]
    assert "epochs" not in advise(replace(GOOD, task="preference"))


def test_rows_alike_are_subtracted_and_one_form_of_question_is_told() -> None:
    assert "count as 4,000 rows" in advise(replace(GOOD, alike=1000))["diversity"]
    assert "little diverse" in advise(replace(GOOD, commonest=4000))["diversity"]
    assert "in one way; 100% begin" in advise(replace(GOOD, openings=1, commonest=5000))["diversity"]


def test_a_bound_far_above_the_rows_is_lowered() -> None:
    assert "length.max_tokens=512" in advise(replace(GOOD, max_tokens=2048))["length"]
    outlier = replace(GOOD, lengths={"p50": 120, "p90": 180, "p99": 200, "p100": 512})
    assert "length.max_tokens=256 with length.when_longer=drop" in advise(outlier)["length"]
    assert "length" not in advise(replace(GOOD, lengths={}))


def test_facts_go_to_a_knowledge_base_and_classes_to_a_classifier() -> None:
    assert "knowledge base" in advise(replace(GOOD, answer=12))["kind"]
    assert "form=classification" in advise(replace(GOOD, replies=3))["kind"]
    assert "kind" not in advise(replace(GOOD, answer=12, replies=1000))
