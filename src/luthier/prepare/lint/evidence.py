"""What the findings are drawn from: the facts of all rows, where each went, and a way to look at one of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import SPLITS, Example
from luthier.prepare.facts import Facts
from luthier.prepare.lint.passages import Passages
from luthier.prepare.spec import PrepareSpec

Rows = npt.NDArray[np.int64]
"""Indexes into the facts."""
NOT_TAKEN = -1


@dataclass(frozen=True)
class Place:
    """A row of the file, and what is wrong with it."""

    where: str
    """`file:line`."""
    what: str


@dataclass(frozen=True)
class Dropped:
    """Rows that were left out for one reason: how many, and the first few."""

    count: int
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Near:
    """Rows that are nearly the same. Shapes are (rows,): the facts' order."""

    cluster: npt.NDArray[np.int64]
    """Rows of one number are alike; -1 where a row has none like it."""


@dataclass(frozen=True)
class Evidence:
    """What became of the rows that were read."""

    spec: PrepareSpec
    task: str
    """`supervised`, `preference`, `kto` or `classification`."""
    max_tokens: int
    rows_read: int
    markers: int
    """Learned tokens of each answer (in a classification, tokens of each row) that stand for no character of it."""
    facts: Facts
    """Of each row that became an example, those that were left out afterwards too."""
    split: npt.NDArray[np.int8]
    """Where each went: an index into SPLITS, or NOT_TAKEN."""
    sources: Sequence[str]
    """Labels of the files, as facts number them."""
    tags: Sequence[str]
    labels: Sequence[str]
    """Names of the classes; empty where labels are numbers, several at once, or there are none."""
    dropped: Mapping[str, Dropped]
    """Reason -> the rows left out for it."""
    example: Callable[[int], Example | None]
    """Gives the row of an index; None where it is kept no more."""
    near: Near | None = None
    """None: nobody looked."""
    passages: Passages | None = None
    """Of the evaluation questions that rows were held against."""

    def place(self, row: int) -> str:
        """Give `file:line` of a row."""
        fact = self.facts[row]
        return f"{self.sources[int(fact['source'])]}:{int(fact['line'])}"

    @property
    def rows_in_all(self) -> int:
        """What shares are of: the rows that were read, or the examples where a row gives several."""
        return max(self.rows_read, len(self.facts))

    @property
    def taken(self) -> Rows:
        """The rows that are in some split."""
        return np.flatnonzero(self.split != NOT_TAKEN)

    def rows_of(self, split: str) -> Rows:
        """Give the rows of one split."""
        return np.flatnonzero(self.split == SPLITS.index(split))

    @property
    def recall_tags(self) -> tuple[str, ...]:
        """Tags of rows that stand in the test split on purpose, though what they ask was trained on."""
        held = self.spec.split.hold_out
        return (*self.spec.lint.recall, *([held.tag] if held else []))
