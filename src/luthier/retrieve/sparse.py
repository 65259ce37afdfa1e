"""Words as a sparse vector, for stores that search those: candidates by idf times how often a word stands there."""

from collections import Counter
from collections.abc import Sequence
from zlib import crc32

from luthier.retrieve.bm25 import K1

NOTHING = 0
"""The place of an entry without words: a store may refuse an empty vector."""


def place_of(word: str) -> int:
    """Give a word's place, from 1 to 2^31 - 1; two words in one place only bring more candidates."""
    return crc32(word.encode("utf-8", "surrogatepass")) % (2**31 - 1) + 1


def as_sparse(tokens: Sequence[str]) -> dict[int, float]:
    """Give place -> weight: BM25's saturation, without the length."""
    counts = Counter(place_of(token) for token in tokens)
    return {place: count * (K1 + 1) / (count + K1) for place, count in counts.items()} or {NOTHING: 1e-6}
