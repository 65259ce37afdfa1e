"""Which split a row belongs to: told by its content (or its group) and the seed, by nothing else.

Adding rows, or reading files in another order, never moves a row to another split; only where each class is dealt by
its own shares may a new row move one other row of its class.
"""

import hashlib
import unicodedata

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import SPLITS, Example
from luthier.errors import SpecError
from luthier.prepare.facts import Facts, Flag
from luthier.prepare.spec import SplitSpec

Numbers = npt.NDArray[np.int8]
"""Indexes into SPLITS."""


def key_of(example: Example, spec: SplitSpec) -> str:
    """Give what decides the split: the group, or the user's turns without regard to case, width and white space.

    Answers and labels do not count: two answers to one question always fall on one side. Of plain and classified
    texts the texts decide.
    """
    if spec.by == "group":
        return example.group
    asked = example.texts or [message.content for message in example.messages if message.role == "user"]
    text = "\0".join(asked)
    if not text.isascii():
        text = unicodedata.normalize("NFKC", text)
    return " ".join(text.casefold().split())


def key_hash(key: str, seed: int) -> int:
    """Give 64 bits that depend on key and seed alone."""
    return hashed(f"split {seed} {key}")


def place_hash(name: str, seed: int) -> int:
    """Give a row's place in the stable order: the first n are a random choice that more rows hardly change."""
    return hashed(f"order {seed} {name}")


def hashed(text: str) -> int:
    """Give the first 64 bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def deal(facts: Facts, spec: SplitSpec) -> Numbers:
    """Give the split of each row, shape (rows,).

    Raises SpecError if classes are to be dealt apart and no row has one.
    """
    if not spec.stratify:
        return _split_at(fractions(facts["key"]), spec)
    if not np.any(facts["label"] >= 0):
        raise SpecError(
            "split.stratify deals each class by its own shares, and no row has a class",
            where="key split.stratify",
            mend="name the column of the class (columns.label), or leave split.stratify out",
        )
    return _split_at(_ranks_in_class(facts), spec)


def fractions(keys: npt.NDArray[np.uint64]) -> npt.NDArray[np.float64]:
    """Give numbers in [0, 1): the first 48 bits, which a float64 holds exactly."""
    return (keys >> np.uint64(16)).astype(np.float64) / float(1 << 48)


def _split_at(places: npt.NDArray[np.float64], spec: SplitSpec) -> Numbers:
    shares = {name: getattr(spec, name) for name in SPLITS if getattr(spec, name)}
    # the last takes what is left: shares such as 0.7 + 0.2 + 0.1 sum to a little less than 1
    ends = np.cumsum(list(shares.values()))[:-1]
    numbers = np.array([SPLITS.index(name) for name in shares], np.int8)
    return numbers[np.searchsorted(ends, places, side="right")]


def _ranks_in_class(facts: Facts) -> npt.NDArray[np.float64]:
    """Give each row the place of its key among its class's keys in the order of their hashes, in [0, 1).

    Rows with one key stay together: the class of the one that is first in the stable order counts for all.
    """
    order = np.lexsort((facts["place"], facts["key"]))
    keys, begins, of_row = np.unique(facts["key"][order], return_index=True, return_inverse=True)
    classes = facts["label"][order][begins]
    counts = np.add.reduceat((facts["flags"][order] & Flag.HELD == 0).astype(np.float64), begins)
    by_class = np.lexsort((keys, classes))
    _, first, number = np.unique(classes[by_class], return_index=True, return_inverse=True)
    before = np.cumsum(counts[by_class]) - counts[by_class]
    totals = np.add.reduceat(counts[by_class], first)
    places = np.zeros(len(keys))
    # a key's middle decides, so that a class's quotas come out as near as its keys let them
    middles = before - before[first][number] + counts[by_class] / 2
    places[by_class] = middles / np.maximum(totals[number], 1)
    ranks = np.zeros(len(facts))
    ranks[order] = places[of_row]
    return ranks
