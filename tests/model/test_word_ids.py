"""Ids by remembered words are those of the tokenizers library itself, for every way of cutting that is listed."""

import json
import random
import string
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from luthier.model import word_ids
from luthier.model.encode import Encoder
from luthier.model.word_ids import CL100K_WRITTEN, WAYS, open_words

SPECIAL = ("<|im_start|>", "<|im_end|>", "<|im", "[X] Y")
GPT2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
LETTERS_ONLY = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def cl100k(digits: str) -> Any:
    # as in the tokenizer.json files of Llama 3 and Qwen 2
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(CL100K_WRITTEN.replace("{DIGITS}", digits)), "isolated"), LETTERS_ONLY]
    )


CUTS: dict[str, Any] = {
    "gpt2": GPT2,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), GPT2]),
    "llama 3": cl100k("{1,3}"),
    "qwen 2": cl100k(""),
}
CORPUS = """It's what we'll do, isn't it? They've 12 dogs and 3,456 cats; I'M here!!
    def main(args):  # indented
        return  [1, 22, 333]\t\tEnd.\r\n\r\nNext  line ... (ok) 'quoted' "text" x=y+1 $5.00 a_b c-d"""


@cache
def tokenizer(name: str) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = CUTS[name]
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator([CORPUS] * 20, trainer)
    made.add_special_tokens(list(SPECIAL))
    if name == "qwen 2":
        made.normalizer = normalizers.NFC()
    return made


def opened(made: Tokenizer) -> word_ids.WordIds | None:
    return open_words(made, lambda texts: [one.ids for one in made.encode_batch_fast(texts, add_special_tokens=False)])


def plain(made: Tokenizer, texts: list[str]) -> list[list[int]]:
    return [one.ids for one in made.encode_batch(texts, add_special_tokens=False)]


PIECES = st.sampled_from(
    [
        *SPECIAL,
        *CORPUS.split(" "),
        "'S",
        "'Re",
        "  ",
        "\n\n",
        " \n ",
        "\x1c",
        "\x0b",
        "12345",
        " 7",
        "é",
        "你好",
        " é",
        "'ſ",
    ]
)
LATIN = "éßøŷ’“”—…·€ºª"
REFUSED = "²½\u00a0\u2003\u3000\u0301٣你"
"""Digits, blanks and marks that other characters join: texts with them are left to the tokenizer."""
MIXED = st.text(string.ascii_letters + " \t\n\r.,!'019" + LATIN, max_size=8) | st.text(
    LATIN + REFUSED + " a1\n", max_size=4
)
TEXTS = st.lists(PIECES | st.text(string.printable, max_size=6) | MIXED, max_size=12).map("".join)


def test_every_way_that_is_listed_is_tested() -> None:
    ways = {word_ids._steps(_json(cut)) for cut in CUTS.values()}
    assert ways == WAYS.keys()


def _json(cut: Any) -> Any:
    return json.loads(cut.__getstate__())


@pytest.mark.parametrize("name", CUTS)
@settings(deadline=None, max_examples=250)
@given(texts=st.lists(TEXTS, max_size=4))
def test_ids_are_those_of_the_tokenizer(name: str, texts: list[str]) -> None:
    made = tokenizer(name)
    words = opened(made)
    assert words is not None
    wanted = plain(made, texts)
    assert words.ids(texts) == wanted
    assert words.ids(texts) == wanted, "again, of remembered words"


@pytest.mark.parametrize("name", CUTS)
def test_long_random_texts_are_cut_alike(name: str) -> None:
    draw = random.Random(3)
    alphabet = string.printable + " " * 30 + "aeiou" * 6 + "\n" * 4 + "019" * 3 + "'" * 3
    texts = ["".join(draw.choices(alphabet, k=2_000)) for _ in range(30)]
    texts += ["".join(draw.choices(alphabet + LATIN * 3, k=2_000)) for _ in range(60)]
    words = opened(tokenizer(name))
    assert words is not None
    assert words.ids(texts) == plain(tokenizer(name), texts)


@pytest.mark.parametrize("name", CUTS)
def test_only_what_words_end_at_decides_how_a_text_is_cut(name: str) -> None:
    words = opened(tokenizer(name))
    assert words is not None
    assert words._cut("a ‘naïve’ text — no more") is not None
    assert [text for text in REFUSED if words._cut(f"a {text} b") is not None] == []


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_ids, "KEPT", 50)
    made = tokenizer("gpt2")
    words = opened(made)
    assert words is not None
    texts = [f"word{chr(97 + n % 26)}{chr(97 + n // 26)} <|im_end|>" for n in range(200)]
    for begin in range(0, 200, 20):
        assert words.ids(texts[begin : begin + 20]) == plain(made, texts[begin : begin + 20])
        assert len(words._known) <= 50


def _changed(change: str) -> Tokenizer:
    made = Tokenizer.from_str(tokenizer("gpt2").to_str())
    if change == "prefix":
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    elif change == "whitespace":
        made.pre_tokenizer = pre_tokenizers.Whitespace()
    elif change == "swallows":
        made.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    elif change == "normalizer":
        made.normalizer = normalizers.Lowercase()
    else:
        made.model = models.WordLevel({"a": 0}, unk_token="a")
    return made


@pytest.mark.parametrize("change", ["prefix", "whitespace", "swallows", "normalizer", "model"])
def test_other_tokenizers_are_left_to_themselves(change: str) -> None:
    assert opened(_changed(change)) is None


def test_tokens_that_are_added_later_are_heeded() -> None:
    from_library = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(tokenizer("smollm").to_str()))
    encoder = Encoder(from_library)
    before = encoder.ids(["one\n\n two"])
    from_library.add_tokens(["\n\n"])
    assert encoder.ids(["one\n\n two"]) == from_library(["one\n\n two"])["input_ids"] != before
