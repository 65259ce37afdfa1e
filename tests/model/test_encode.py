"""Tokens of a text's beginning: the short way gives what tokenising the beginning by itself gives."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from luthier.fetch.tiny import make_tokenizer
from luthier.model.encode import Encoder

PIECES = (
    *("<|im_start|>", "<|im_end|>", "<|im_", "end|>", "<|im_start|>assistant\n", "<think>", "</think>", "<", "|>"),
    *("\n", "\n\n", " ", "  ", "\t", "a", "ab", "Norm", "é", "e\u0301", "🦜", "👩‍👩‍👧", "你好", "，", "12", "'s", "."),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=14).map("".join)
LINES = [
    "What is the river called?",
    "the answer is that 12 and 34 are 46.",
    "Norm, the man's dog ran.",
    "你好，世界",
] * 3


def tricky() -> PreTrainedTokenizerFast:
    """Give a byte-level tokenizer whose added tokens swallow blanks, count between blanks only, or are mended first."""
    tokenizer = make_tokenizer()
    tokenizer.add_tokens(
        [
            AddedToken("<think>", normalized=False, special=False),
            AddedToken("</think>", normalized=False, special=False, rstrip=True),
            AddedToken("ab", normalized=False, single_word=True),
            AddedToken("<|im_end|>assistant", normalized=False, lstrip=True),
            AddedToken("Norm", normalized=True),
        ]
    )
    return tokenizer


def with_blanks_as_letters(*, legacy: bool) -> PreTrainedTokenizerFast:
    """Give a tokenizer in the manner of SentencePiece: a blank is put before the text, or before each part of it."""
    bpe = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    if legacy:
        bpe.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    else:
        bpe.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    bpe.decoder = decoders.Metaspace()
    special = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    bpe.train_from_iterator(
        LINES, trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False, min_frequency=1)
    )
    return PreTrainedTokenizerFast(tokenizer_object=bpe, unk_token="<unk>", bos_token="<s>", eos_token="</s>")


KINDS: dict[str, Any] = {
    "byte-level": make_tokenizer(),
    "tricky": tricky(),
    "blanks as letters": with_blanks_as_letters(legacy=False),
    "blanks as letters, before each part": with_blanks_as_letters(legacy=True),
}


def beginning(tokenizer: Any, text: str, ids: list[int], length: int) -> int | None:
    """Give what `places` is to give, by the definition."""
    head = tokenizer(text[:length], add_special_tokens=False)["input_ids"]
    return len(head) if ids[: len(head)] == head else None


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(TEXTS, min_size=1, max_size=3))
def test_the_place_of_every_beginning_is_that_of_the_beginning_by_itself(kind: str, texts: list[str]) -> None:
    tokenizer = KINDS[kind]
    encoder = Encoder(tokenizer)
    ids = encoder.ids(texts)
    assert ids == [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    rows = [(text, found, range(len(text) + 1)) for text, found in zip(texts, ids, strict=True)]
    wanted = [[beginning(tokenizer, text, found, length) for length in lengths] for text, found, lengths in rows]
    assert encoder.places(rows) == wanted


def test_a_chat_takes_the_short_way() -> None:
    assert all(Encoder(tokenizer).is_fast for tokenizer in KINDS.values())


def test_a_tokenizer_without_added_tokens_is_asked_the_long_way() -> None:
    bpe = Tokenizer(models.BPE(byte_fallback=False))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.train_from_iterator(LINES, trainers.BpeTrainer(initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    encoder = Encoder(PreTrainedTokenizerFast(tokenizer_object=bpe))
    assert not encoder.is_fast
    text = "the river is"
    [ids] = encoder.ids([text])
    assert encoder.places([(text, ids, (len(text), 9))])[0][0] == len(ids)


def test_padding_set_by_another_caller_does_not_reach_the_ids() -> None:
    tokenizer = make_tokenizer()
    encoder = Encoder(tokenizer)
    alone = encoder.ids(["a", "a longer text"])
    tokenizer(["a", "a longer text"], padding=True, truncation=True, max_length=2)
    assert encoder.ids(["a", "a longer text"]) == alone
