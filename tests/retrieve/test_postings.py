"""Words turned around, cut into blocks, joined again: against counting them one by one."""

import random
import sqlite3
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from luthier.retrieve.postings import (
    Block,
    Postings,
    bits_for,
    cut,
    found,
    hash_of,
    join,
    place_of,
    ranges,
    turn,
    uncut,
)
from luthier.retrieve.tally import SCHEMA, Tally

WORDS = [f"w{n}" for n in range(500)] + ["苹果", "苹", "naïve"]


def drawn(count: int, seed: int) -> list[list[str]]:
    draw = random.Random(seed)
    return [[draw.choice(WORDS) for _ in range(draw.randrange(30))] for _ in range(count)]


def plain(postings: Postings) -> dict[str, dict[int, int]]:
    ends = np.cumsum(postings.held)
    parts = zip(np.split(postings.entries, ends[:-1]), np.split(postings.counts, ends[:-1]), strict=True)
    return {
        word: dict(zip(entries.tolist(), counts.tolist(), strict=True))
        for word, (entries, counts) in zip(postings.words, parts, strict=True)
    }


def counted(said: Iterable[tuple[int, Sequence[str]]]) -> dict[str, dict[int, int]]:
    made: dict[str, dict[int, int]] = {}
    for number, words in said:
        for word, times in Counter(words).items():
            made.setdefault(word, {})[number] = times
    return made


def blocks_of(postings: Postings, batch: int, bits: int) -> dict[int, Block]:
    made = list(cut(postings, batch, bits))
    assert [block.place for block in made] == sorted({block.place for block in made})
    return {block.place: block for block in made}


def test_words_are_turned_around_and_found_in_their_blocks() -> None:
    said = drawn(200, 1)
    postings = turn(said)
    truth = counted(enumerate(said))
    assert plain(postings) == truth
    assert postings.hashes.tolist() == sorted(map(hash_of, truth))
    bits = bits_for(len(truth))
    assert bits > 0
    blocks = blocks_of(postings, 7, bits)
    for word, holders in truth.items():
        pair = found(blocks[place_of(7, bits, hash_of(word))], word)
        assert pair is not None
        assert dict(zip(pair[0].tolist(), pair[1].tolist(), strict=True)) == holders
    anywhere = blocks[place_of(7, bits, hash_of("w1"))]
    assert found(anywhere, "w") is None, "half a word is none"


@pytest.mark.parametrize(("size", "count"), [(300, 1), (1_000_000, 2)])
def test_batches_are_joined_stretch_by_stretch_without_what_was_deleted(size: int, count: int) -> None:
    said = drawn(300, 2)
    borders, bits = [0, 100, 110, 300], [3, 1, 2]
    held: dict[int, Block] = {}
    for number, (begin, end) in enumerate(pairwise(borders)):
        postings = turn(said[begin:end])
        named = Postings(postings.words, postings.hashes, postings.held, postings.entries + begin, postings.counts)
        held |= blocks_of(named, number, bits[number])
    alive = np.arange(300) % 3 > 0
    stretches = list(ranges(list(enumerate(bits)), size))
    assert len(stretches) == count
    joined: dict[int, Block] = {}
    truth = counted((number, words) for number, words in enumerate(said) if alive[number])
    found_words: list[str] = []
    for stretch in stretches:
        parts = [uncut([held[place] for place in sorted(held) if first <= place < last]) for first, last in stretch]
        together = join(parts, lambda ids: alive[ids])
        made = blocks_of(together, 9, 4)
        assert not made.keys() & joined.keys()
        joined |= made
        found_words += together.words
        assert plain(together) == {word: truth[word] for word in together.words}
    assert sorted(found_words) == sorted(truth)


def test_a_tally_is_the_sum_of_what_came_and_went() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(SCHEMA)
    tally = Tally(connection)
    here: list[list[list[str]]] = []
    for n in range(40):
        here.append(drawn(5 + n % 4, n))
        tally.add("chunk", turn(here[-1]), 1)
        if n % 3 == 2:
            tally.add("chunk", turn(here.pop(n % len(here))), -1)
        tally.add("summary", turn([["other"]]), 1)
    truth = Counter(word for said in here for words in said for word in set(words))
    assert tally.all("chunk") == truth
    assert tally.find("chunk", [*WORDS, "unheard"]) == truth
    assert tally.find("summary", ["other", "w1"]) == {"other": 40}
    (batches,) = connection.execute("SELECT count(*) FROM tally_batch").fetchone()
    assert batches < 40, "small ones are joined"
    tally.replace("chunk", {"w1": 3})
    assert tally.all("chunk") == {"w1": 3}
    assert tally.all("summary") == {"other": 40}
