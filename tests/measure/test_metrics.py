import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics.bleu import BLEU

from luthier.measure.metric import Outcome
from luthier.measure.metrics import (
    METRICS,
    bleu_tokenizer,
    common_length,
    exact_match,
    metrics,
    rouge_l,
    rouge_n,
    token_f1,
)

ENGLISH = [
    ("Return the larger of two numbers.", "Return the largest of the given numbers."),
    (
        "`dedent(text)`: Remove any common leading whitespace from every line.",
        "Remove common whitespace, line by line.",
    ),
    ("yes", "no"),
    ("", "something"),
    ("The the THE cat_sat on 3.14 mats!", "the cat sat on the 3 mats"),
]
CHINESE = [
    ("当事人应当全面履行义务。", "当事人应当按照约定全面履行自己的义务。"),
    ("违约方承担赔偿责任", "违约的一方应当承担赔偿损失的责任。"),
    ("我不知道", "租赁期限不得超过二十年。"),
]
TEXTS = st.text(st.sampled_from("ab cd.,XY01\n"), max_size=60)


def outcome(pairs: Sequence[tuple[str, str]]) -> Outcome:
    nothing = np.zeros(len(pairs))
    return Outcome([pair[0] for pair in pairs], [pair[1] for pair in pairs], nothing, nothing)


@settings(max_examples=200)
@given(TEXTS, TEXTS)
def test_rouge_of_ascii_equals_googles_rouge_score_without_stemming(answer: str, reference: str) -> None:
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(reference, answer)
    ours = {"rouge1": rouge_n(answer, reference, 1), "rouge2": rouge_n(answer, reference, 2)}
    ours["rougeL"] = rouge_l(answer, reference)
    for name, value in ours.items():
        assert value == pytest.approx(theirs[name].fmeasure, abs=1e-12)


@pytest.mark.parametrize(("answer", "reference"), ENGLISH)
def test_rouge_of_english_sentences_equals_googles(answer: str, reference: str) -> None:
    theirs = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=False).score(reference, answer)
    assert rouge_n(answer, reference, 1) == pytest.approx(theirs["rouge1"].fmeasure)
    assert rouge_n(answer, reference, 2) == pytest.approx(theirs["rouge2"].fmeasure)
    assert rouge_l(answer, reference) == pytest.approx(theirs["rougeL"].fmeasure)


def test_rouge_of_chinese_counts_characters() -> None:
    # 履行合同 of 应当履行合同义务: all 4 said are wanted, 8 wanted; the pairs 3 of 3 and 7; in order, 4
    assert rouge_n("履行合同", "应当履行合同义务", 1) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert rouge_n("履行合同", "应当履行合同义务", 2) == pytest.approx(2 * 1 * (3 / 7) / (1 + 3 / 7))
    assert rouge_l("履行合同", "应当履行合同义务") == pytest.approx(2 / 3)
    # turned round, the bag is the same, the longest common run in order is 2
    assert rouge_n("合同履行", "履行合同", 1) == 1
    assert rouge_l("合同履行", "履行合同") == pytest.approx(0.5)


def test_googles_rouge_gives_chinese_nothing_which_is_why_ours_exists() -> None:
    theirs = RougeScorer(["rougeL"], use_stemmer=False).score("履行合同", "履行合同")
    assert theirs["rougeL"].fmeasure == 0
    assert rouge_l("履行合同", "履行合同") == 1


@given(st.lists(st.sampled_from("abc"), max_size=9), st.lists(st.sampled_from("abc"), max_size=9))
def test_the_common_length_is_that_of_the_textbook_table(first: list[str], second: list[str]) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for row, left in enumerate(first):
        for column, right in enumerate(second):
            best = max(table[row][column + 1], table[row + 1][column])
            table[row + 1][column + 1] = table[row][column] + 1 if left == right else best
    assert common_length(first, second) == table[-1][-1]


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("42", " 42\n", 1),
        ("a  b", "a b", 1),
        ("e\u0301", "é", 1),
        ("Yes", "yes", 0),
        ("yes.", "yes", 0),
        ("", "", 1),
    ],
)
def test_exact_match_forgives_white_space_only(answer: str, reference: str, wanted: float) -> None:
    assert exact_match(answer, reference) == wanted


@pytest.mark.parametrize(
    ("answer", "reference", "wanted"),
    [
        ("the cat sat", "A cat sat down", 0.8),  # 2 common of 2 and 3: 2 * 1 * 2/3 / (5/3)
        ("Paris", "paris.", 1),
        ("London", "Paris", 0),
        ("the", "the", 1),
        ("the", "cat", 0),
        ("?!", "!?", 0),
        ("北京", "北京市", 0.8),
    ],
)
def test_token_f1_by_hand(answer: str, reference: str, wanted: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(wanted)


@pytest.mark.parametrize(("pairs", "tokenizer"), [(ENGLISH, "13a"), (CHINESE, "zh")])
def test_bleu_equals_sacrebleus_corpus_score(pairs: list[tuple[str, str]], tokenizer: str) -> None:
    theirs = BLEU(tokenize=tokenizer).corpus_score([pair[0] for pair in pairs], [[pair[1] for pair in pairs]])
    assert theirs.score > 1
    assert bleu_tokenizer([pair[1] for pair in pairs])[0] == tokenizer
    metric = METRICS["bleu"]
    sums = metric.statistics(outcome(pairs)).sum(axis=0)
    assert float(metric.figure(sums)) == pytest.approx(theirs.score)


def test_bleu_of_no_common_words_is_zero() -> None:
    metric = METRICS["bleu"]
    assert float(metric.figure(metric.statistics(outcome([("yes", "no")])).sum(axis=0))) == 0


def test_perplexity_weighs_every_supervised_token_the_same() -> None:
    # 1 token of probability 1/2 and 3 of 1/8: exp of the mean over 4 tokens is 2 ** (10 / 4), not a mean of rows
    log_probabilities = np.asarray([math.log(1 / 2), 3 * math.log(1 / 8)])
    spoken = Outcome(["", ""], ["", ""], log_probabilities, np.asarray([1.0, 3.0]))
    metric = METRICS["perplexity"]
    statistics = metric.statistics(spoken)
    assert float(metric.figure(statistics.sum(axis=0))) == pytest.approx(2**2.5)
    assert metric.figure(statistics).tolist() == pytest.approx([2, 8])


def test_perplexity_without_a_supervised_token_is_unknown_and_of_a_hopeless_model_infinite() -> None:
    metric = METRICS["perplexity"]
    assert math.isnan(float(metric.figure(np.asarray([0.0, 0.0]))))
    assert math.isinf(float(metric.figure(np.asarray([-1e9, 1.0]))))


OF_TEXTS = [name for name, row in METRICS.items() if row.needs == "answers" and not row.is_corpus and name != "calls"]


@pytest.mark.parametrize("name", OF_TEXTS)
def test_a_metric_of_rows_is_the_mean_over_rows(name: str) -> None:
    metric = METRICS[name]
    statistics = metric.statistics(outcome([("a cat", "a cat"), ("x", "y"), ("a dog", "a cat")]))
    rows = metric.figure(statistics)
    assert rows[0] == 1
    assert rows[1] == 0
    assert float(metric.figure(statistics.sum(axis=0))) == pytest.approx(float(rows.mean()))


def test_a_metric_of_sources_leaves_out_rows_it_says_nothing_of() -> None:
    read = {"passages": [{"text": "The cat purrs at night.", "score": 1.0}]}
    spoken = Outcome(
        ["The cat purrs.", "The dog barks.", "Anything."],
        ["", "", ""],
        np.zeros(3),
        np.zeros(3),
        questions=["q"] * 3,
        details=[read, read, {}],
    )
    metric = METRICS["faithfulness"]
    rows = metric.figure(metric.statistics(spoken)).tolist()
    assert rows[:2] == [1, 0]
    assert math.isnan(rows[2])
    assert float(metric.figure(metric.statistics(spoken).sum(axis=0))) == 0.5


def test_no_rows_make_no_figure_and_no_crash() -> None:
    assert METRICS
    needs = {metric.needs: np.zeros((0, 2)) for metric in METRICS.values()}
    for metric in METRICS.values():
        assert metric.statistics(replace(outcome([]), measured=needs)).shape[0] == 0


def test_the_table_holds_what_is_promised() -> None:
    promised = {"exact_match", "token_f1", "rouge_1", "rouge_2", "rouge_l", "bleu", "perplexity"}
    assert promised <= set(metrics())
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == ["perplexity"]
