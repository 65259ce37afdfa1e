"""Task files: what is asked of the models, and by what they are judged. One YAML file a task."""

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from luthier.errors import SpecError
from luthier.measure.metrics import metrics
from luthier.spec import Settings, Spec, build, read_settings

HELDOUT = "heldout"
"""The name in reports and rules of the rows without a tag: they alone decide."""

Count = Annotated[int, Field(ge=1)]


class TaskSpec(Spec):
    """What is asked of the models, and by what they are judged."""

    title: str
    """What the task is, in a few words: the report's heading."""
    metrics: tuple[str, ...]
    """Names of metrics; the first one that has a figure for each row orders the report."""
    limits: dict[str, Count] = Field(default_factory=dict)
    """Tag -> at most so many rows; `heldout` means the rows without a tag. A tag that is not named has no limit."""
    max_tokens: Count = 128
    """At most so many new tokens an answer."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy: the same answers at every run."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""
    rows_per_batch: Count = 32
    """Rows given to the model at once; what a kill can lose at most."""


def read_task(path: Path) -> TaskSpec:
    """Read a task file.

    Raises SpecError if it is missing, holds an unknown key, or names no metric or one that nobody knows.
    """
    settings = read_settings(path)
    task = build(TaskSpec, settings)
    _check_metrics(task, settings)
    return task


def fingerprint(path: Path) -> str:
    """Give `sha256:` and the hash of a task file's bytes, as orders name files from outside."""
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names was meant, or list them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"


def _check_metrics(task: TaskSpec, settings: Settings) -> None:
    known = metrics()
    if not task.metrics:
        raise SpecError(
            "the task names no metrics",
            where=settings.place(("metrics",)),
            mend=f"write metrics: [...] with some of: {', '.join(known)}",
        )
    for place, name in enumerate(task.metrics):
        where = settings.place(("metrics", place))
        if name not in known:
            raise SpecError(f"there is no metric {name!r}", where=where, mend=nearest(name, known))
        if name in task.metrics[:place]:
            raise SpecError(f"the metric {name!r} stands twice", where=where, mend="remove one of them")
