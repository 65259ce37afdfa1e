"""A batch of work for a worker, and what comes back: never rows, only what is known of them."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.errors import DataError
from luthier.prepare.batch import Batch
from luthier.prepare.dropped import Dropped
from luthier.prepare.facts import FACT, Facts
from luthier.prepare.fault import Fault


@dataclass(frozen=True)
class Task:
    """Some raw rows of one file. `number` counts batches, in the order of reading."""

    number: int
    set_number: int
    source_number: int
    form: Any
    """How its rows are read, picklable; None: no row of the file could be parsed so far."""
    batch: Batch

    @property
    def emptied(self) -> "Task":
        """The same without its rows: which it was."""
        return replace(self, form=None, batch=self.batch.emptied())


@dataclass
class Done:
    """What a batch came to. In `facts`, tags and labels are numbered as they stand here."""

    rows: int = 0
    facts: Facts = field(default_factory=lambda: np.zeros(0, FACT))
    tags: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    """Which tasks there are, and of which kind labels: the place of the first row of each."""
    expanded: int = 0
    """Examples beyond one a row."""
    dropped: Dropped = field(default_factory=Dropped)
    fault: Fault | None = None
    """The first bad row."""
    broken: DataError | None = None
    """What made the rest of the batch unreadable."""
    columns: frozenset[str] = frozenset()
    signatures: npt.NDArray[np.uint32] | None = None
    cleaned: Counter[str] = field(default_factory=Counter)
    """What cleaning did, as it counts it."""


@dataclass(frozen=True)
class Described:
    """What the parent must know of a model's template, which only workers load."""

    context: int
    """The longest sequence the model takes, in tokens."""
    max_tokens: int
    """The longest example, in tokens."""
    hashes: Mapping[str, str]
    """What stands in the card."""
    markers: int
    """Learned tokens of an answer that stand for no character of it: its end, and marks of thinking."""
    added: int
    """Tokens that the tokenizer puts around a text that is to be classified; it stands in no template."""


class Describe:
    """Asks a worker for `Described`."""


TASKS = {"chat": "supervised", "text": "supervised"}
"""What an example can teach -> what the artifact is for, where the names differ."""


def kind_of(task: str) -> str:
    """Give what an artifact of such examples is for."""
    return TASKS.get(task, task)
