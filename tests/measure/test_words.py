import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize

from luthier.measure.words import _PLAIN, count_words, script_of, words


@given(st.text(st.characters(max_codepoint=127)))
def test_words_of_ascii_are_those_of_googles_rouge_score(text: str) -> None:
    assert words(text) == tokenize(text, None)


def test_every_unified_ideograph_unicode_names_is_a_word_by_itself() -> None:
    characters = [chr(code) for code in range(0x3000, 0x32400)]
    named = [each for each in characters if unicodedata.name(each, "").startswith("CJK UNIFIED IDEOGRAPH-")]
    assert len(named) > 90_000
    assert words("".join(named)) == named


@pytest.mark.parametrize("name", ["HIRAGANA LETTER", "KATAKANA LETTER", "HANGUL SYLLABLE", "BOPOMOFO LETTER"])
def test_every_kana_hangul_and_bopomofo_letter_is_a_word_by_itself(name: str) -> None:
    letters = [chr(code) for code in range(0x3000, 0xD7FF) if unicodedata.name(chr(code), "").startswith(name)]
    assert len(letters) > 30
    assert words(" ".join(letters)) == letters


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("用Python3写os.path.join函数", ["用", "python3", "写", "os", "path", "join", "函", "数"]),
        ("ＡＢＣ１２３，你好！", ["abc123", "你", "好"]),  # full-width letters and digits are plain ones
        ("ｶﾞｷﾞ", ["ガ", "ギ"]),  # half-width katakana, the voicing mark apart
        ("コーヒー・タイム", ["コ", "ー", "ヒ", "ー", "タ", "イ", "ム"]),  # the middle dot is a gap
        ("e\u0301te\u0301 = ÉTÉ", ["été", "été"]),  # an accent apart or composed
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),  # vowel signs and virama stay with their letters
        ("Straße STRASSE", ["strasse", "strasse"]),
        ("co\u00adoperate zero\u200dwidth", ["cooperate", "zerowidth"]),
        ("葛\U000e0100城", ["葛", "城"]),  # an ideographic variation selector is not seen
        ("snake_case don’t 3.14", ["snake", "case", "don", "t", "3", "14"]),
        ("Москва-Київ", ["москва", "київ"]),
        ("😀👍🏽!？。", []),
        ("", []),
    ],
)
def test_words_of_a_text(text: str, wanted: list[str]) -> None:
    assert words(text) == wanted


@given(st.text() | st.text("abc 你好é，ガ한"))
def test_words_are_counted_as_they_are_given(text: str) -> None:
    assert count_words(text) == len(words(text))


def test_bigrams_stand_after_their_first_character_and_never_cross_a_gap() -> None:
    assert words("合同法，第12条", bigrams=True) == ["合", "合同", "同", "同法", "法", "第", "12", "条"]


def test_bigrams_change_nothing_where_there_is_no_cjk() -> None:
    assert words("naïve plain text", bigrams=True) == words("naïve plain text") == ["naïve", "plain", "text"]


@given(st.text())
def test_any_text_has_words_and_its_words_are_words_again(text: str) -> None:
    found = words(text)
    assert [again for word in found for again in words(word)] == found


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        (["Return the larger of two numbers.", "你", "All of it is English."], "latin"),
        (["当事人应当按照约定履行义务。", "用 Python 写"], "chinese"),
        (["Most of this text is English,", "but some of it is not", "合同有效"], "chinese"),
        (["これは日本語の文章です。"], "other_cjk"),
        (["한국어 문장입니다"], "other_cjk"),
        ([], "latin"),
    ],
)
def test_the_script_is_chosen_by_content_with_a_reason(texts: list[str], wanted: str) -> None:
    script, why = script_of(texts)
    assert script == wanted
    assert "words are CJK characters" in why


def test_what_need_not_be_folded_gives_what_folding_gives() -> None:
    plain = [chr(code) for code in range(0x110000) if _PLAIN.fullmatch(chr(code))]
    assert len(plain) > 20_000
    for character in plain:
        text = f"Ab{character}C中{character}"
        assert [*words(text), "é"] == words(f"{text} é"), f"U+{ord(character):04X}"
