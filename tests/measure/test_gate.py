from typing import Any

import pytest

from luthier.errors import SpecError
from luthier.measure.gate import Verdict, judge

SCORES: dict[str, Any] = {
    "heldout": {
        "rows": 100,
        "metrics": {
            "rouge_l": {"before": 0.2, "after": 0.35, "gain": 0.15, "low": 0.1, "high": 0.2},
            "perplexity": {"before": 10.0, "after": 6.0, "gain": 4.0, "low": 3.0, "high": 5.0},
            "bleu": {"before": 1.0, "after": None, "gain": None, "low": None, "high": None},
        },
    },
    "recall": {"metrics": {"rouge_l": {"before": 0.1, "after": 0.9, "gain": 0.8, "low": 0.7, "high": 0.85}}},
}


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        ("rouge_l.after >= 0.30", True),
        ("rouge_l.after >= 0.36", False),
        ("perplexity.after <= 0.8 * perplexity.before", True),
        ("perplexity.after <= 0.5 * perplexity.before", False),
        ("rouge_l.gain.low > 0", True),
        ("rouge_l.gain.high < 0.2", False),
        ("rouge_l.gain == 0.15", True),
        ("recall.rouge_l.after >= 0.9", True),
        ("heldout.rouge_l.after == rouge_l.after", True),
        ("'recall'.rouge_l.gain.high > rouge_l.gain.high", True),
        ("(rouge_l.after - rouge_l.before) / rouge_l.before > 0.7", True),
    ],
)
def test_rules_hold_or_fail_by_the_figures(rule: str, passed: bool) -> None:
    assert [verdict.passed for verdict in judge([rule], SCORES)] == [passed]


@pytest.mark.parametrize(
    "rule",
    [
        "bleu.after >= 0",
        "bleu.after < 1000",
        "bleu.gain.low == bleu.gain.low",
        "bleu.after * 0 == 0",
        "rouge_l.after / 0 > 0",
        "1e308 * 1e308 > rouge_l.after",
        "0 - 1e308 * 1e308 < rouge_l.after",
    ],
)
def test_what_is_not_known_is_not_passed(rule: str) -> None:
    verdict = judge([rule], SCORES)[0]
    assert not verdict.passed
    assert "unknown" in verdict.value


def test_a_verdict_shows_both_sides_and_every_name_with_its_figure() -> None:
    assert judge(["perplexity.after <= 0.8 * perplexity.before"], SCORES) == [
        Verdict(
            rule="perplexity.after <= 0.8 * perplexity.before",
            value="6 <= 8 (perplexity.after = 6, perplexity.before = 10)",
            passed=True,
        )
    ]


@pytest.mark.parametrize(
    ("rule", "name", "position", "mend"),
    [
        ("0.3 <= rouge_1.after", "rouge_1.after", 8, "did you mean 'rouge_l.after'?"),
        ("recal.rouge_l.after > 0", "recal.rouge_l.after", 1, "did you mean 'recall.rouge_l.after'?"),
        ("recall.perplexity.after > 0", "recall.perplexity.after", 1, "perplexity.after'?"),
        ("f.gain.low > 0", "f.gain.low", 1, "did you mean 'bleu.gain.low'?"),
    ],
)
def test_a_name_the_scores_do_not_hold_offers_the_nearest(rule: str, name: str, position: int, mend: str) -> None:
    with pytest.raises(SpecError) as caught:
        judge([rule], SCORES)
    assert caught.value.what == f"the scores hold no {name!r}"
    assert caught.value.where == f"rule {rule!r}, character {position}"
    assert mend in caught.value.mend


def test_the_figures_of_one_model_alone_are_named_after() -> None:
    alone = {"heldout": {"rows": 9, "metrics": {"exact_match": {"value": 0.5, "low": 0.4, "high": 0.6}}}}
    rules = ["exact_match.after == 0.5", "exact_match.after.low >= 0.4", "exact_match.after.high > 0.6"]
    assert [verdict.passed for verdict in judge(rules, alone)] == [True, True, False]
    with pytest.raises(SpecError, match=r"the scores hold no 'exact_match.gain'"):
        judge(["exact_match.gain > 0"], alone)


def test_a_certificate_is_judged_by_its_figures_and_passed_counts_one() -> None:
    certificate = {"passed": True, "kl": 0.002, "max_logit_difference": None, "engine": "openvino"}
    rules = ["certificate.passed == 1", "certificate.kl <= 0.001", "certificate.max_logit_difference < 1"]
    assert [verdict.passed for verdict in judge(rules, SCORES, certificate)] == [True, False, False]
    with pytest.raises(SpecError) as caught:
        judge(["certificate.kll < 1"], SCORES, certificate)
    assert caught.value.mend == "did you mean 'certificate.kl'?"


@pytest.mark.parametrize(("count", "passed"), [(0, True), (1, False)])
def test_answers_that_no_judge_could_judge_fail_the_gate(count: int, passed: bool) -> None:
    scores = {"heldout": {**SCORES["heldout"], "unjudged": {"before": {"relevance": 0}, "after": {"relevance": count}}}}
    verdicts = judge(["rouge_l.gain > 0"], scores)
    assert [verdict.passed for verdict in verdicts] == [True, passed]
    assert verdicts[1].rule == "every answer of heldout was judged"
    assert verdicts[1].value == f"0 without relevance, {count} without relevance, of 100"
