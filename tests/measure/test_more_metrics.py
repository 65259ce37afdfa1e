"""Metrics of characters, classes, code, extraction and calls, and the filters before them."""

import json
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics.chrf import CHRF

from luthier.measure.calls import are_right, read_calls, tool_of
from luthier.measure.classes import NONE, confusion
from luthier.measure.filters import apply_filters
from luthier.measure.metric import Outcome
from luthier.measure.metrics import METRICS
from luthier.measure.passing import estimate

PAIRS = [
    ("Return the larger of two numbers.", "Return the largest of the given numbers."),
    ("当事人应当全面履行义务。", "当事人应当按照约定全面履行自己的义务。"),
    ("ab", "abcdefgh"),
    ("", "something"),
    ("a long answer to a short question", "no"),
]


def outcome(answers: list[str], references: list[str], labels: tuple[str, ...] = ()) -> Outcome:
    nothing = np.zeros(len(answers))
    return Outcome(answers, references, nothing, nothing, labels)


def figure(name: str, found: Outcome) -> float:
    metric = METRICS[name]
    return float(metric.figure(metric.statistics(found).sum(axis=0)))


def test_chrf_equals_sacrebleu_on_a_corpus_and_on_each_row() -> None:
    answers, references = [pair[0] for pair in PAIRS], [pair[1] for pair in PAIRS]
    theirs = CHRF().corpus_score(answers, [references]).score
    assert figure("chrf", outcome(answers, references)) == pytest.approx(theirs, abs=1e-9)
    for answer, reference in PAIRS:
        wanted = CHRF().sentence_score(answer, [reference]).score
        assert figure("chrf", outcome([answer], [reference])) == pytest.approx(wanted, abs=1e-9)


def test_pass_at_k_is_the_share_of_k_drawn_answers_in_which_one_passes() -> None:
    counted = 0
    for samples in range(1, 7):
        for right in range(samples + 1):
            for k in range(1, samples + 1):
                drawn = list(combinations(range(samples), k))
                share = sum(any(place < right for place in draw) for draw in drawn) / len(drawn)
                assert estimate(samples, right, k) == pytest.approx(share, abs=1e-12)
                counted += 1
    assert counted > 50
    assert estimate(200, 1, 100) == pytest.approx(0.5)


def test_classes_by_hand() -> None:
    # references down, answers across: cat 2 right 1 as dog, dog 1 right 1 unnamed
    found = outcome(["cat", "cat", "dog", "dog", ""], ["cat", "cat", "cat", "dog", "dog"], ("cat", "dog"))
    assert confusion(found) == {
        "labels": ["cat", "dog"], "answers": ["cat", "dog", NONE], "counts": [[2, 1, 0], [0, 1, 1]]
    }  # fmt: skip
    assert figure("accuracy", found) == pytest.approx(3 / 5)
    # cat: 2 of 2 said, 2 of 3 wanted: 0.8; dog: 1 of 2 said, 1 of 2 wanted: 0.5
    assert figure("macro_f1", found) == pytest.approx(0.65)
    # by chance: 3/5 * 2/5 + 2/5 * 2/5 = 0.4; seen 0.6
    assert figure("kappa", found) == pytest.approx((0.6 - 0.4) / (1 - 0.4))


def test_kappa_of_the_usual_example() -> None:
    # Wikipedia's example of 50 proposals: 20 yes/yes, 5 yes/no, 10 no/yes, 15 no/no: kappa 0.4
    said = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    wanted = ["yes"] * 25 + ["no"] * 25
    assert figure("kappa", outcome(said, wanted)) == pytest.approx(0.4)


def test_extraction_counts_facts_and_not_their_order() -> None:
    wanted = json.dumps({"name": "Ada", "born": 1815, "fields": ["mathematics", "computing"]})
    said = json.dumps({"fields": ["Computing"], "name": " ada ", "born": 1816})
    found = outcome([said], [wanted])
    assert figure("extraction_precision", found) == pytest.approx(2 / 3)
    assert figure("extraction_recall", found) == pytest.approx(2 / 4)
    assert figure("extraction_f1", found) == pytest.approx(4 / 7)
    triples = json.dumps([["Ada", "wrote", "notes"], ["Ada", "born", 1815]])
    assert figure("extraction_f1", outcome([json.dumps([["ada", "born", 1815]])], [triples])) == pytest.approx(2 / 3)
    assert figure("extraction_f1", outcome(["no JSON"], [wanted])) == 0


@pytest.mark.parametrize(
    ("text", "filters", "wanted"),
    [
        ("so 3 + 4 = 7, that is $1,207.50 in all.", ["last_number"], "1207.5"),
        ("No idea.", ["last_number"], ""),
        ("#### 18", ["last_number"], "18"),
        ("  one\ntwo", ["first_line"], "one"),
        ("I think it is Positive, not negative", ["label"], "positive"),
        ("这是积极的", ["label"], "积极"),
        ("nonpositive", ["label"], ""),
        ("Sure:\n```python\nx = 1\n```\nDone", ["fenced"], "x = 1\n"),
        ("x = 1", ["fenced"], "x = 1"),
        ('It is {"a": [1, 2]} I say', ["json"], '{"a": [1, 2]}'),
        ("Answer: (B) since", [{"regex": r"Answer: \((\w)\)"}], "B"),
        ("a END b", [{"before": "END"}, "strip"], "a"),
        ("a #### b #### c", [{"after": "####"}, "strip"], "c"),
    ],
)
def test_filters(text: str, filters: list[str | dict[str, str]], wanted: str) -> None:
    assert apply_filters(text, filters, ("positive", "negative", "积极")) == wanted


CALL = json.dumps([{"area.of": {"base": [10], "height": [5, 5.0], "unit": ["units", ""]}}])


@pytest.mark.parametrize(
    ("said", "right"),
    [
        ('{"name": "area.of", "arguments": {"base": 10, "height": 5}}', 1),
        ('<tool_call>\n{"name": "area_of", "arguments": {"height": 5, "base": 10, "unit": "Units"}}\n</tool_call>', 1),
        ("[area.of(base=10, height=5)]", 1),
        ("area.of(base=10, height=5.0)", 1),
        ('{"name": "area.of", "arguments": {"base": "10", "height": 5}}', 0),
        ('{"name": "area.of", "arguments": {"base": 10}}', 0),
        ('{"name": "area.of", "arguments": {"base": 10, "height": 5, "depth": 1}}', 0),
        ('{"name": "volume", "arguments": {"base": 10, "height": 5}}', 0),
        ("[area.of(base=10, height=5), area.of(base=10, height=5)]", 0),
        ("The area is 25.", 0),
    ],
)
def test_a_call_is_right_if_function_and_arguments_are_allowed(said: str, right: int) -> None:
    assert are_right(said, CALL) == right


def test_where_nothing_may_be_called_words_are_right_and_a_call_is_wrong() -> None:
    assert are_right("I cannot do that.", "[]") == 1
    assert are_right('{"name": "f", "arguments": {}}', "[]") == 0


@pytest.mark.parametrize("name", ["simple_python", "multiple", "parallel"])
def test_the_leaderboards_own_answers_are_right(name: str, data_folder: Callable[[str], Path]) -> None:
    lines = (data_folder("bfcl") / f"answer_BFCL_v4_{name}.json").read_text(encoding="utf-8").splitlines()
    assert len(lines) >= 200
    for line in lines:
        truth = json.loads(line)["ground_truth"]
        calls = [{"name": called, "arguments": first(arguments)} for one in truth for called, arguments in one.items()]
        wrong = [{**calls[0], "name": "another"}, *calls[1:]]
        assert are_right(json.dumps(calls), json.dumps(truth)) == 1, line
        assert are_right(json.dumps(wrong), json.dumps(truth)) == 0
        assert len(read_calls(json.dumps(calls))) == len(truth)


def first(allowed: dict[str, list[Any]]) -> dict[str, Any]:
    """Take the first allowed value of each argument that may not be missing."""
    return {key: plain(values[0]) for key, values in allowed.items() if "" not in values}


def plain(value: Any) -> Any:
    """Take the first allowed values inside an object."""
    if isinstance(value, dict):
        return first({key: inner if isinstance(inner, list) else [inner] for key, inner in value.items()})
    return [plain(inner) for inner in value] if isinstance(value, list) else value


def test_a_function_becomes_a_tool_with_json_schemas_types() -> None:
    function = {
        "name": "f",
        "parameters": {
            "type": "dict",
            "properties": {"a": {"type": "float"}, "b": {"type": "tuple", "items": {"type": "any"}}},
        },
    }
    tool = tool_of(function)
    assert tool["type"] == "function"
    assert tool["function"]["parameters"] == {
        "type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "array", "items": {}}}
    }  # fmt: skip
    assert tool_of(tool) == tool
