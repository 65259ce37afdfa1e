"""`luthier prepare --lint`: everything that `prepare` does but the artifact, with all that is wrong counted."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from luthier.artifact.example import from_plain
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import ToolError
from luthier.event import Tell, Warned
from luthier.prepare.build import gather_result
from luthier.prepare.clean import near
from luthier.prepare.gather import Gathered
from luthier.prepare.lint.evidence import Evidence, Near
from luthier.prepare.lint.report import Report, make_report
from luthier.prepare.sets import rows_sets, sets_of
from luthier.prepare.shards import Ints
from luthier.prepare.spec import PrepareSpec

ALIKE = 0.8
"""Rows alike to this share are nearly the same, where `clean.near_duplicates` says nothing else."""


def lint(
    spec: PrepareSpec, model: Artifact, rows: Artifact | None, store: Store, tell: Tell, *, processes: int | None = None
) -> Report:
    """Look at all rows as `prepare` would make them, and report; nothing is kept.

    No single row is an error: each is counted. Raises what `prepare` raises for settings, files and models.
    """
    check_kind(model, "model", "model")
    sets = sets_of(spec, rows) or rows_sets(spec, rows)
    store.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lint-", dir=store.work) as folder:
        shards = Path(folder) / "shards"
        result = gather_result(spec, model.folder, sets, shards, tell, processes=processes, is_lint=True)
        alike = _alike(spec, result.gathered, result.evidence, Path(folder), tell)
        return make_report(replace(result.evidence, near=alike))


def _alike(spec: PrepareSpec, gathered: Gathered, evidence: Evidence, folder: Path, tell: Tell) -> Near | None:
    """Put the rows that are in some split into clusters of those nearly the same."""
    taken = evidence.taken
    cluster = np.full(len(evidence.facts), -1, np.int64)
    if not len(taken):
        return Near(cluster)
    path = folder / "signatures"
    try:
        with path.open("wb") as file:
            for texts in _texts(gathered, taken):
                file.write(near.signatures(texts).tobytes())
    except ToolError as error:
        tell(Warned(f"near duplicates are not looked for: {error.what}", error.mend))
        return None
    signed = np.memmap(path, np.uint32, "r", shape=(len(taken), near.SLOTS))
    order = np.ascontiguousarray(evidence.facts["place"][taken])
    leaders = near.leaders(signed, order, spec.clean.near_duplicates or ALIKE)
    counts = np.bincount(leaders, minlength=len(taken))
    cluster[taken] = np.where(counts[leaders] > 1, leaders, -1)
    return Near(cluster)


def _texts(gathered: Gathered, rows: Ints) -> Iterator[list[str]]:
    """Give the texts of rows, in the order of reading, one batch after another."""
    batches, numbers = (gathered.facts[name][rows].astype(np.int64) for name in ("batch", "number"))
    borders = [*np.flatnonzero(np.diff(batches, prepend=-1)).tolist(), len(rows)]
    for begin, end in pairwise(borders):
        shard = gathered.shard(int(batches[begin]))
        lines = (shard.line(number) for number in numbers[begin:end].tolist())
        yield [near.text_of(from_plain(json.loads(line))) for line in lines]
