"""Token ids of Latin texts by words that were met before: the tokenizer's own ids, in a quarter of its time.

Byte-level BPE cuts a text at added tokens, then into words by a regular expression, and looks no further than one
word. Cutting is most of the tokenizer's work, for it keeps count of every character's way. The expressions that are in
use are known, and over ASCII Python's `re` has all they need; so texts are cut here, the tokenizer itself tells the
ids of each new word, and words are remembered. Where letters with accents or printers' marks stand between blanks,
all that stands there counts as one word. Other scripts, and what is cut in a way not listed, are left to it.

Sources: GPT-2's encoder.py; OpenAI's tiktoken (cl100k_base), which Llama 3 and Qwen 2 follow; `Digits` of Hugging
Face's tokenizers, which SmolLM and StarCoder put before GPT-2's expression.
"""

import json
import re
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

Encode = Callable[[list[str]], list[list[int]]]
KEPT = 200_000
"""Words that are remembered: some 40 MB."""
LONGEST_KEPT = 32
GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+"
# with each digit cut out first, blanks before one are at the end of what is cut further
DIGITS_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+|[0-9]| ?[^\sA-Za-z0-9]+|\s+(?![^\s0-9])|\s+"
CL100K = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{DIGITS}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CL100K_WRITTEN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{DIGITS}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
LATIN = re.compile(
    r"[\x00-\x7f\xa1-\xb1\xb4-\xb8\xba\xbb\xbf-\u024f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*"
).fullmatch
"""Characters that are no blanks, no digits, and that no normalizer joins, beside those of ASCII."""
BESIDE = r" ?\S*[^\x00-\x7f]\S*|"
# a blank of any kind may begin a word here, and a mark takes the ends of lines behind it
BESIDE_CL100K = r"[^\S\r\n]?\S*[^\x00-\x7f]\S*(?:\s*[\r\n]+)?|"


def _cl100k(digits: str) -> tuple[tuple[str, ...], tuple[str, str]]:
    """Give the steps, and the expressions, of those that differ in how many digits stand together."""
    written = CL100K_WRITTEN.replace("{DIGITS}", digits)
    return (f"Split {written}", "ByteLevel"), (CL100K.replace("{DIGITS}", digits), BESIDE_CL100K)


WAYS: dict[tuple[str, ...], tuple[str, str]] = {
    ("ByteLevel words",): (GPT2, BESIDE),
    ("Digits each", "ByteLevel words"): (DIGITS_GPT2, BESIDE),
    **dict([_cl100k("{1,3}"), _cl100k("")]),  # Llama 3, Qwen 2
}
"""How a tokenizer cuts a text into words -> the same over ASCII, in one expression, and what comes before it elsewhere:
it takes all between two blanks where not all of that is ASCII, for words end at blanks in each way."""


class WordIds:
    """Gives the ids of texts, and remembers those of their words."""

    def __init__(self, way: tuple[str, str], added: dict[str, int], encode: Encode) -> None:
        ascii_words, beside = way
        self._words = re.compile(ascii_words, re.ASCII).findall
        self._latin_words = re.compile(beside + ascii_words, re.ASCII).findall
        longest_first = sorted(added, key=lambda content: (-len(content), content))
        pattern = "|".join(map(re.escape, longest_first))
        self._apart = re.compile(f"({pattern})").split if added else lambda text: [text]
        self._added = {content: (number,) for content, number in added.items()}
        self._known: dict[str, tuple[int, ...]] = {}  # tuples of numbers are no work for the garbage collector
        self._encode = encode

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of each text, as the tokenizer gives them."""
        cut = [self._cut(text) for text in texts]
        found = [None if words is None else list(map(self._known.get, words)) for words in cut]
        new = {word: None for words, row in zip(cut, found, strict=True) for word in _missing(words, row)}
        whole = [text for text, words in zip(texts, cut, strict=True) if words is None]
        encoded = self._encode([*whole, *new]) if whole or new else []
        others, fresh = iter(encoded), dict(zip(new, map(tuple, encoded[len(whole) :]), strict=True))
        made = []
        for words, row in zip(cut, found, strict=True):
            if words is None or row is None:
                made.append(next(others))
            elif None in row:
                filled = (fresh[word] if ids is None else ids for word, ids in zip(words, row, strict=True))
                made.append(list(chain.from_iterable(filled)))
            else:
                made.append(list(chain.from_iterable(row)))  # type: ignore[arg-type]
        self._remember(fresh)
        return made

    def _cut(self, text: str) -> list[str] | None:
        """Give a text's words; None where they are left to the tokenizer."""
        if text.isascii():
            words_of = self._words
        elif LATIN(text):
            words_of = self._latin_words
        else:
            return None
        parts = self._apart(text)
        if len(parts) == 1:
            return words_of(text)
        words: list[str] = []
        for number, part in enumerate(parts):
            if number % 2:
                words.append(part)
            elif part:
                words += words_of(part)
        return words

    def _remember(self, fresh: dict[str, tuple[int, ...]]) -> None:
        if len(self._known) + len(fresh) > KEPT:
            self._known.clear()
        if not self._known:
            self._known.update(self._added)
        self._known.update({word: ids for word, ids in fresh.items() if len(word) <= LONGEST_KEPT})


def _missing(words: list[str] | None, row: list[tuple[int, ...] | None] | None) -> list[str]:
    if words is None or row is None or None not in row:
        return []
    return [word for word, ids in zip(words, row, strict=True) if ids is None]


def open_words(backend: Any, encode: Encode) -> WordIds | None:
    """Give what remembers words, for a tokenizer of the `tokenizers` library whose way of cutting is known."""
    if type(backend.model).__name__ != "BPE" or backend.model.dropout is not None or backend.pre_tokenizer is None:
        return None
    if backend.normalizer is not None and type(backend.normalizer).__name__ != "NFC":
        return None  # NFC changes nothing in the texts that are cut here
    added = backend.get_added_tokens_decoder()
    if any(token.lstrip or token.rstrip or token.single_word or not token.content for token in added.values()):
        return None
    way = WAYS.get(steps_of(backend))
    return None if way is None else WordIds(way, {token.content: number for number, token in added.items()}, encode)


def steps_of(backend: Any) -> tuple[str, ...]:
    """Say the steps by which a tokenizer of the `tokenizers` library cuts a text into words: a key of WAYS if known."""
    return () if backend.pre_tokenizer is None else _steps(json.loads(backend.pre_tokenizer.__getstate__()))


def _steps(splitter: dict[str, Any]) -> tuple[str, ...]:
    """Say the steps of cutting a text into words."""
    if splitter["type"] == "Sequence":
        return tuple(name for step in splitter["pretokenizers"] for name in _steps(step))
    return (_step(splitter),)


def _step(step: dict[str, Any]) -> str:
    kind = str(step["type"])
    if kind == "ByteLevel" and not step["add_prefix_space"]:
        return "ByteLevel words" if step["use_regex"] else "ByteLevel"
    if kind == "Digits" and step["individual_digits"]:
        return "Digits each"
    if kind == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
        return f"Split {step['pattern'].get('Regex')}"
    return f"unknown {kind}"
