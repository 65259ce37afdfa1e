"""Which split an example belongs to: told by its content (or its group) and the seed, by nothing else.

Adding rows, or reading files in another order, never moves an example to another split.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from luthier.artifact.example import SPLITS, Example
from luthier.prepare.gather import Candidate
from luthier.prepare.spec import SplitSpec


@dataclass(frozen=True)
class Deal:
    """Examples by split, each in the order of reading, and those held out whose group fell into train."""

    splits: dict[str, list[Example]] = field(default_factory=lambda: {name: [] for name in SPLITS})
    held: list[Example] = field(default_factory=list)


def deal(candidates: Iterable[Candidate], spec: SplitSpec, dropped: Counter[str]) -> Deal:
    """Put every example where its hash says; held-out ones whose group is in dev or test are counted as dropped."""
    dealt = Deal()
    for candidate in candidates:
        name = split_of(key_of(candidate.example, spec), spec)
        if not candidate.is_held:
            dealt.splits[name].append(candidate.example)
        elif name == "train":
            dealt.held.append(candidate.example)
        else:
            dropped[f"held out, its group is in {name}"] += 1
    return dealt


def recallable(held: Sequence[Example], trained: Iterable[Example], dropped: Counter[str]) -> list[Example]:
    """Keep the held-out examples whose group is really trained on: a cap may have left a group out of train."""
    groups = {example.group for example in trained}
    kept = [example for example in held if example.group in groups]
    if len(kept) < len(held):
        dropped["held out, its group is not trained on"] += len(held) - len(kept)
    return kept


def key_of(example: Example, spec: SplitSpec) -> str:
    """Give what decides the split: the group, or the user's turns without regard to case, width and white space.

    Answers do not count: two answers to one question always fall on one side.
    """
    if spec.by == "group":
        return example.group
    asked = "\0".join(message.content for message in example.messages if message.role == "user")
    return " ".join(unicodedata.normalize("NFKC", asked).casefold().split())


def split_of(key: str, spec: SplitSpec) -> str:
    """Give the split in whose share the hash of seed and key lies."""
    place = _fraction(f"split {spec.seed} {key}")
    shares = [(name, share) for name, share in zip(SPLITS, (spec.train, spec.dev, spec.test), strict=True) if share]
    end = 0.0
    for name, share in shares:
        end += share
        if place < end:
            return name
    return shares[-1][0]  # shares such as 0.7 + 0.2 + 0.1 sum to a little less than 1


def in_stable_order(examples: Iterable[Example], seed: int) -> list[Example]:
    """Sort by a hash of content and seed: the first n are a random choice that more rows hardly change."""
    return sorted(examples, key=lambda example: (_fraction(f"order {seed} {example.id}"), example.id))


def _fraction(text: str) -> float:
    """Give a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / (1 << 48)
