"""Which rows are taken, and for which split: what can be told only when all rows are known, told from their facts.

Nothing here hangs on the order of reading: what decides is content, and hashes of content.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import SPLITS
from luthier.errors import DataError
from luthier.event import Chose, Tell, Warned
from luthier.prepare.dropped import Dropped
from luthier.prepare.facts import Facts, Flag
from luthier.prepare.mix import MANY_EPOCHS, Portion, interleaved, portions
from luthier.prepare.spec import PrepareSpec
from luthier.prepare.split import deal

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Near = Callable[[Ints, Facts, float], Bools]
"""`near(rows, facts, share)`: which of these rows stay when those alike to at least this share are left out."""


@dataclass
class Chosen:
    """What became of the rows. `splits` are indexes into the facts, in the order of reading; train may repeat some."""

    splits: dict[str, Ints]
    mix: list[Portion] = field(default_factory=list)


class Choice:
    """The rows that are left, and the account of those that are not."""

    def __init__(self, facts: Facts, tags: Sequence[str], dropped: Dropped, where: Callable[[int], str]) -> None:
        self.facts, self.tags, self.dropped = facts, tags, dropped
        self.left: Bools = np.ones(len(facts), np.bool_)
        self._where = where

    @property
    def rows(self) -> Ints:
        """The rows that are left, in the order of reading."""
        return np.flatnonzero(self.left)

    def drop(self, rows: Ints, reason: str) -> None:
        """Leave rows out, and count them."""
        self.left[rows] = False
        self.dropped.rows(reason, len(rows), lambda most: [self._where(int(row)) for row in np.sort(rows)[:most]])


def choose(choice: Choice, spec: PrepareSpec, set_names: Sequence[str], near: Near | None, tell: Tell) -> Chosen:
    """Leave out what the spec says and deal the rest.

    Raises SpecError if classes are to be dealt apart and no row has one.
    """
    facts = choice.facts
    choice.drop(_with(choice, facts["weight"] == 0), "weight 0")
    if spec.length.when_longer == "drop":
        choice.drop(_with(choice, _has(facts, Flag.TOO_LONG)), "too long")
    choice.drop(_with(choice, _has(facts, Flag.UNSUPERVISED)), "nothing left to learn")
    again = duplicates(choice)
    facts["flags"][again] |= np.uint32(Flag.DUPLICATE)
    if spec.clean.exact_duplicates == "drop":
        choice.drop(again, "duplicate")
    if near is not None and spec.clean.near_duplicates is not None:
        _drop_near(choice, near, spec.clean.near_duplicates)
    return _dealt(choice, spec, set_names, tell)


def duplicates(choice: Choice) -> Ints:
    """Give the rows whose content another row has that stays: the one held out, else by the names of group and tag."""
    rows, facts = choice.rows, choice.facts
    by_name = np.argsort(np.argsort(np.array(choice.tags))) if len(choice.tags) else np.zeros(1, np.int64)
    # sort by id alone first: few rows share one, and only those need the long comparison
    of = facts[rows]
    _, number, count = np.unique(of["id"], return_inverse=True, return_counts=True)
    shared = np.flatnonzero(count[number] > 1)
    same = of[shared]
    keys = (
        *(same["line"], same["source"], same["set"], -same["weight"], same["key"]),
        *(by_name[same["tag"]], same["group"], same["flags"] & Flag.HELD == 0, same["id"]),
    )
    order = np.lexsort(keys)
    is_later = same["id"][order][1:] == same["id"][order][:-1]
    again: Ints = rows[shared[order[1:][is_later]]]
    return again


def _drop_near(choice: Choice, near: Near, share: float) -> None:
    """Held-out rows are no part of it: they are meant to say again what was trained on."""
    rows = choice.rows
    rows = rows[~_has(choice.facts[rows], Flag.HELD)]
    gone = rows[~near(rows, choice.facts, share)]
    choice.facts["flags"][gone] |= np.uint32(Flag.NEAR_DUPLICATE)
    choice.drop(gone, "near duplicate")


def _dealt(choice: Choice, spec: PrepareSpec, set_names: Sequence[str], tell: Tell) -> Chosen:
    """Fill train first: it decides which held-out rows can be recalled."""
    rows, facts = choice.rows, choice.facts
    split_of = deal(facts[rows], spec.split)
    is_held = _has(facts[rows], Flag.HELD)
    for number, name in enumerate(SPLITS):
        if name != "train":
            choice.drop(rows[is_held & (split_of == number)], f"held out, its group is in {name}")
    dealt = {name: rows[~is_held & (split_of == number)] for number, name in enumerate(SPLITS)}
    held = rows[is_held & (split_of == SPLITS.index("train"))]
    chosen = Chosen({})
    chosen.splits["train"] = _train(choice, dealt["train"], spec, set_names, chosen, tell)
    chosen.splits["dev"] = np.sort(_limited(choice, dealt["dev"], spec.limit.dev))
    is_recalled = np.isin(facts["group"][held], facts["group"][chosen.splits["train"]])
    choice.drop(held[~is_recalled], "held out, its group is not trained on")
    test = np.concatenate([dealt["test"], held[is_recalled]])
    chosen.splits["test"] = np.sort(_limited(choice, test, spec.limit.test))
    return chosen


def _train(choice: Choice, rows: Ints, spec: PrepareSpec, set_names: Sequence[str], chosen: Chosen, tell: Tell) -> Ints:
    rows = _limited(choice, rows, spec.limit.train)
    if spec.mix.by != "rows":
        chosen.mix = _plan(choice, rows, spec, set_names)
        mixed = interleaved(rows, choice.facts["set"][rows].astype(np.int64), chosen.mix)
        choice.drop(np.setdiff1d(rows, mixed), "thinned out by the mix")
        _tell_mix(chosen.mix, spec, tell)
        rows = mixed
    if spec.max_train_tokens is not None:
        # The first that would pass the bound ends the taking: a later, shorter one would bend the choice.
        used = np.cumsum(choice.facts["tokens"][rows].astype(np.int64))
        kept = rows[: int(np.searchsorted(used, spec.max_train_tokens, side="right"))]
        choice.drop(np.setdiff1d(rows, kept), "over max_train_tokens")
        rows = kept
    return np.sort(rows)


def _limited(choice: Choice, rows: Ints, most: int | None) -> Ints:
    """Give rows in the stable order, of each tag the first `most`."""
    facts = choice.facts
    ordered = rows[np.lexsort((facts["id"][rows], facts["place"][rows]))]
    if most is None:
        return ordered
    tags = facts["tag"][ordered]
    by_tag = np.argsort(tags, kind="stable")
    _, begins, counts = np.unique(tags[by_tag], return_index=True, return_counts=True)
    rank = np.empty(len(ordered), np.int64)
    rank[by_tag] = np.arange(len(ordered)) - np.repeat(begins, counts)
    choice.drop(ordered[rank >= most], "over the limit")
    return ordered[rank < most]


def _plan(choice: Choice, rows: Ints, spec: PrepareSpec, names: Sequence[str]) -> list[Portion]:
    counts = np.bincount(choice.facts["set"][rows], minlength=len(names)).tolist()
    return portions(names, counts, [one.weight for one in spec.sets], spec.mix)


def _tell_mix(plan: Sequence[Portion], spec: PrepareSpec, tell: Tell) -> None:
    for portion in plan:
        what = f"{portion.epochs:.2f} epochs: {portion.taken:,} rows of {portion.rows:,}"
        tell(Chose(f"mix of {portion.name}", what, why=f"mix.by={spec.mix.by}, until={spec.mix.until}"))
        if portion.epochs > MANY_EPOCHS:
            mend = "set mix.until=first, lower its weight, or find more rows"
            tell(Warned(f"{portion.name} is repeated {portion.epochs:.1f} times: that teaches by heart", mend))


def _has(facts: Facts, flag: Flag) -> Bools:
    found: Bools = (facts["flags"] & int(flag)) != 0
    return found


def _with(choice: Choice, matches: Bools) -> Ints:
    return np.flatnonzero(choice.left & matches)


def ledger_weights(facts: Facts, weights: Mapping[str, float], path: str) -> npt.NDArray[np.float32]:
    """Give each row's weight in a ledger of content ids, 1 where it has none; shape (rows,).

    Raises DataError for a ledger of other rows, read from `path`: it would weigh nothing.
    """
    found = np.ones(len(facts), np.float32)
    if not weights:
        return found
    ids = np.array([int(name, 16) for name in weights], np.uint64)
    values = np.fromiter(weights.values(), np.float32, len(weights))
    order = np.argsort(ids)
    places = np.minimum(np.searchsorted(ids[order], facts["id"]), len(ids) - 1)
    is_known = ids[order][places] == facts["id"]
    if not is_known.any():
        raise DataError(
            f"none of its {len(weights):,} ids is that of a row",
            where=f"key weights ({path})",
            mend="an id is a hash of a row's content: clean and set `system` as for the run that wrote them",
        )
    found[is_known] = values[order][places][is_known]
    return found
