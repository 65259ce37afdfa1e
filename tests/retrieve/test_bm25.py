from math import log

import pytest

from luthier.retrieve.bm25 import Statistics, score, terms, weigh


def test_a_score_is_what_the_formula_gives_by_hand() -> None:
    # 3 chunks of 4, 2 and 6 words; `cat` stands in two of them; ours says it twice in 4 words (Lucene's idf)
    statistics = Statistics(chunks=3, length=12, holding={"cat": 2})
    idf = log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = idf * 2 * 2.2 / (2 + 1.2 * (1 - 0.6 + 0.6 * 4 / 4))
    weights = weigh(["cat", "unheard"], statistics)
    assert weights == {"cat": pytest.approx(idf)}
    assert score(weights, ["cat", "on", "cat", "mat"], statistics.length / statistics.chunks) == pytest.approx(expected)


def test_a_word_that_is_asked_twice_counts_twice() -> None:
    statistics = Statistics(10, 100, {"cat": 1})
    assert weigh(["cat", "cat"], statistics)["cat"] == pytest.approx(2 * weigh(["cat"], statistics)["cat"])


def test_chinese_is_found_by_characters_and_pairs_and_latin_stands_apart() -> None:
    assert terms("用GPT模型") == ["用", "gpt", "模", "模型", "型"]


def test_english_words_are_found_by_their_stems_and_numbers_and_accents_as_they_are() -> None:
    # from the sample vocabulary at snowballstem.org/algorithms/english/stemmer.html
    samples = "consigned consigning consignment knightly kneeling knocks knots"
    assert terms(samples) == ["consign", "consign", "consign", "knight", "kneel", "knock", "knot"]
    assert terms("1990s café naïvely") == ["1990s", "café", "naïvely"]
