"""Texts to token ids, many at once, and where in them the tokens of a text's beginning end.

Added tokens (`<|im_end|>`) cut a text before anything else looks at it: what stands before one and what stands after
it are tokenised apart. So the ids of a text's beginning are those of the whole up to the last added token in it, and
behind that the ids of the few characters that are left. Those alone have to be tokenised, and they are nearly always
the same ("assistant\\n"). Where this cannot be proved of a tokenizer (by trying, when it is opened) or of a text (its
added tokens must be found in its ids, one by one), the beginning is tokenised by itself.
"""

import re
from bisect import bisect_right
from collections.abc import Sequence
from itertools import islice
from typing import Any

from luthier.model.word_ids import WordIds, open_words

TAILS_KEPT = 4096
LONGEST_TAIL_KEPT = 200
"""Bounds of the memory for tails: how many, and how many characters each."""
PROBE = (
    "a b",
    " two  spaces \n\n\nand lines\t.",
    "你好，世界。123 456 don't 🦜🇫🇷 é e\u0301",
    "",
    "<|not a token|> <s> </s> [INST]",
)

Place = int | None
"""How many tokens a text's beginning has; None where its ids are not the beginning of the whole text's ids."""


class Encoder:
    """Tokenises for one tokenizer; adds no special tokens of its own."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "_tokenizer", None)
        self._backend: Any = backend if hasattr(backend, "encode_batch_fast") else None
        self._tails: dict[tuple[str, str], list[int] | None] = {}
        added = tokenizer.added_tokens_decoder
        cutting = {number: token for number, token in added.items() if not token.normalized}
        self._added = {token.content: number for number, token in cutting.items()}
        self._numbers = frozenset(self._added.values())
        # those that swallow the blanks beside them, or only count between blanks, prove nothing about what is next
        self._anchors = frozenset(
            number for number, token in cutting.items() if not (token.lstrip or token.rstrip or token.single_word)
        )
        longest_first = sorted(self._added, key=lambda content: (-len(content), content))
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None
        self._words: WordIds | None = None
        self._tokens_known = -1
        if not self._is_proved():
            self._backend = None

    @property
    def is_fast(self) -> bool:
        """Whether this tokenizer was proved to cut texts at its added tokens."""
        return self._backend is not None and self._pattern is not None

    @property
    def has_offsets(self) -> bool:
        """Whether it says which characters a token is made of."""
        return self._backend is not None

    def ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Give the ids of each text."""
        if not texts:
            return []
        if self._backend is None:
            return self._plainly(texts)
        added = len(self._backend.get_added_tokens_decoder())
        if added != self._tokens_known:  # somebody added tokens: texts are cut otherwise
            self._tokens_known = added
            self._words = open_words(self._backend, self._by_backend)
        if self._words is None or self._tokenizer.split_special_tokens:
            return self._by_backend(texts)
        return self._words.ids(texts)

    def _by_backend(self, texts: Sequence[str]) -> list[list[int]]:
        return [found.ids for found in self._ready().encode_batch_fast(list(texts), add_special_tokens=False)]

    def with_ends(self, texts: Sequence[str]) -> list[tuple[list[int], list[tuple[int, int]]]]:
        """Give the ids of each text, and of each token from where to where it goes, in characters."""
        found = self._ready().encode_batch(list(texts), add_special_tokens=False) if texts else []
        return [(one.ids, one.offsets) for one in found]

    def places(self, rows: Sequence[tuple[str, Sequence[int], Sequence[int]]]) -> list[list[Place]]:
        """Give, for rows of (text, its ids, lengths of beginnings in characters), the place of each beginning."""
        quick = [self._quick(*row) if self.is_fast else None for row in rows]
        missing = [row for row, found in zip(rows, quick, strict=True) if found is None]
        slow = iter(self._slow(missing))
        return [next(slow) if found is None else found for found in quick]

    def _slow(self, rows: Sequence[tuple[str, Sequence[int], Sequence[int]]]) -> list[list[Place]]:
        heads = iter(self.ids([text[:length] for text, _, lengths in rows for length in lengths]))
        return [[_place(next(heads), ids, 0) for _ in lengths] for _, ids, lengths in rows]

    def _quick(self, text: str, ids: Sequence[int], lengths: Sequence[int]) -> list[Place] | None:
        assert self._pattern is not None
        found = [(match.end(), match.group()) for match in self._pattern.finditer(text, 0, max(lengths, default=0))]
        all_spots = (spot for spot, number in enumerate(ids) if number in self._numbers)
        spots = list(islice(all_spots, len(found)))
        if len(spots) < len(found):
            return None
        if any(ids[spot] != self._added[name] for spot, (_, name) in zip(spots, found, strict=False)):
            return None
        ends = [end for end, _ in found]
        places: list[Place] = []
        for length in lengths:
            last = bisect_right(ends, length) - 1
            while last >= 0 and ids[spots[last]] not in self._anchors:
                last -= 1
            tail = self._tail(found[last][1], text[ends[last] : length]) if last >= 0 else None
            if tail is None:
                return None
            places.append(_place(tail, ids, spots[last] + 1))
        return places

    def _tail(self, anchor: str, tail: str) -> list[int] | None:
        """Give the ids of what follows an added token, or None where they cannot be told."""
        key = (anchor, tail)
        if key in self._tails:
            return self._tails[key]
        [ids] = self.ids([anchor + tail])
        found = ids[1:] if ids[:1] == [self._added[anchor]] else None
        if len(tail) <= LONGEST_TAIL_KEPT:
            if len(self._tails) >= TAILS_KEPT:
                self._tails.clear()
            self._tails[key] = found
        return found

    def _ready(self) -> Any:
        """The tokenizer's back end, with the settings others may have changed put right."""
        backend = self._backend
        if backend.padding is not None:
            backend.no_padding()
        if backend.truncation is not None:
            backend.no_truncation()
        if backend.encode_special_tokens != bool(self._tokenizer.split_special_tokens):
            backend.encode_special_tokens = bool(self._tokenizer.split_special_tokens)
        return backend

    def _plainly(self, texts: Sequence[str]) -> list[list[int]]:
        found: list[list[int]] = self._tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
        return found

    def _is_proved(self) -> bool:
        """Whether the shorter ways give, on texts made to break them, what the tokenizer itself gives."""
        if self._backend is None:
            return False
        names = list(self._added)[:8]
        texts = [*PROBE, *(f"{part}{name}{part}{name} \n{part}x" for name in names for part in PROBE)]
        ids = self._plainly(texts)
        if self.ids(texts) != ids:
            return False
        if self._pattern is None:
            return True
        rows = [(text, found, range(len(text) + 1)) for text, found in zip(texts, ids, strict=True)]
        sure = [(row, self._quick(*row)) for row in rows]
        if any(quick is not None and quick != self._slow([row])[0] for row, quick in sure):
            self._pattern = None
        return True


def _place(head: Sequence[int], ids: Sequence[int], begin: int) -> Place:
    end = begin + len(head)
    return end if list(ids[begin:end]) == list(head) else None
