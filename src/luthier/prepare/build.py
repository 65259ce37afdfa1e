"""The heavy half of `prepare`: files to examples and tokens, with the figures for the card."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact.example import SPLITS
from luthier.errors import DataError, SpecError
from luthier.event import Said, Tell, Warned
from luthier.prepare.choose import Bools, Choice, Chosen, choose, ledger_weights
from luthier.prepare.clean import near
from luthier.prepare.clean.cleaner import open_cleaner
from luthier.prepare.dropped import tally
from luthier.prepare.facts import Facts, Flag
from luthier.prepare.figures import figures_of, packing_figures, tell_figures, warn_endless
from luthier.prepare.gather import SIGNATURES, Gathered, gather
from luthier.prepare.ledger import read_weights
from luthier.prepare.lint.against import read_passages
from luthier.prepare.lint.checks import Context
from luthier.prepare.lint.evidence import NOT_TAKEN, Evidence, Place
from luthier.prepare.lint.evidence import Dropped as Seen
from luthier.prepare.lint.passages import Passages
from luthier.prepare.lint.report import make_report, write_report
from luthier.prepare.shards import Ints
from luthier.prepare.source import Source
from luthier.prepare.spec import PrepareSpec, SetSpec
from luthier.prepare.worker import Setup
from luthier.prepare.write import Weights, write_cleaned, write_plan, write_splits

PIECE = 1 << 15
"""Rows of signatures that are in memory at once."""


@dataclass(frozen=True)
class Result:
    """What became of all rows, before anything is written."""

    gathered: Gathered
    chosen: Chosen
    factors: Weights
    """What `weights` makes of each row's weight, shape (rows,)."""
    evidence: Evidence
    leaders: Ints | None
    """Of near duplicates, the row that stays for each, shape (rows,); None where they are kept."""


def build_examples(
    spec: PrepareSpec,
    model_folder: Path,
    sets: Sequence[tuple[SetSpec, Sequence[Source]]],
    out: Path,
    work: Path,
    tell: Tell,
    processes: int | None = None,
) -> Mapping[str, Any]:
    """Fill `out` with `{train,dev,test}.jsonl` and `.safetensors`, the packing plan and the report; give the figures.

    Raises DataError for files and rows that cannot be used, SpecError for settings that do not fit them, ModelError
    for a model without tokenizer or template.
    """
    shards = work / "shards"
    try:
        result = gather_result(spec, model_folder, sets, shards, tell, processes=processes)
        return _write(spec, result, out, tell)
    finally:
        shutil.rmtree(shards, ignore_errors=True)


def gather_result(
    spec: PrepareSpec,
    model_folder: Path,
    sets: Sequence[tuple[SetSpec, Sequence[Source]]],
    shards: Path,
    tell: Tell,
    *,
    processes: int | None = None,
    is_lint: bool = False,
) -> Result:
    """Do everything but writing the artifact; the rows lie in the folder `shards`, which the caller clears away.

    With `is_lint` no single row is an error: all are counted.
    """
    _check_pack(spec)
    open_cleaner(spec.clean)  # says now what would go wrong in a worker
    weights = read_weights(spec.weights) if spec.weights else {}
    passages = read_passages(spec.lint.against, spec.lint.words, tell)
    shutil.rmtree(shards, ignore_errors=True)
    shards.mkdir(parents=True)
    setup = Setup(spec, tuple(one for one, _ in sets), model_folder, shards, Context(passages))
    sources = [files for _, files in sets]
    gathered = gather(setup, sources, tell, processes=processes, is_lint=is_lint)
    factors = ledger_weights(gathered.facts, weights, spec.weights or "")
    gathered.facts["weight"] *= factors
    choice = Choice(gathered.facts, gathered.tags, gathered.dropped, gathered.place)
    names = [one.tag or ", ".join(one.paths) for one, _ in sets]
    alike = _Alike(gathered)
    chosen = choose(choice, spec, names, alike, tell)
    if not is_lint:
        _check_lengths(gathered, chosen)
        _check_filled(spec, gathered, chosen, tell)
    return Result(gathered, chosen, factors, _evidence(gathered, chosen, passages), alike.leaders)


def _write(spec: PrepareSpec, result: Result, out: Path, tell: Tell) -> Mapping[str, Any]:
    gathered, chosen = result.gathered, result.chosen
    write_splits(out, gathered, chosen.splits, result.factors)
    figures = figures_of(gathered, chosen)
    train = chosen.splits["train"]
    if len(train):
        room = _room(spec, result)
        figures["packing"] = packing_figures(gathered, train, write_plan(out, gathered, train, room), room)
    write_cleaned(out, gathered, result.leaders)
    report = make_report(result.evidence)
    write_report(report, out)
    tell_figures(gathered, figures, tell)
    tell(Said(report.summary))
    warn_endless(gathered, chosen, tell)
    return {
        **figures,
        "max_tokens": gathered.model.max_tokens,
        **gathered.model.hashes,
        "sources": gathered.sources,
    }


def _room(spec: PrepareSpec, result: Result) -> int:
    """A pair's answers are learned side by side: a row must have room for both."""
    return spec.pack.tokens or result.gathered.model.max_tokens * (2 if result.gathered.task == "preference" else 1)


def _check_pack(spec: PrepareSpec) -> None:
    if spec.pack.tokens and spec.length.max_tokens and spec.pack.tokens < spec.length.max_tokens:
        raise SpecError(
            f"pack.tokens is {spec.pack.tokens}, less than length.max_tokens ({spec.length.max_tokens})",
            where="key pack.tokens",
            mend="an example stands in one packed row, whole: raise pack.tokens, or lower length.max_tokens",
        )


class _Alike:
    """Says which rows stay when near duplicates are left out, and remembers for which others."""

    def __init__(self, gathered: Gathered) -> None:
        self._path = gathered.folder / SIGNATURES
        self.leaders: Ints | None = None

    def __call__(self, rows: Ints, facts: Facts, share: float) -> Bools:
        """Rows that are no part of it are made to have no words: they are like no other."""
        is_asked = np.zeros(len(facts), np.bool_)
        is_asked[rows] = True
        for begin in range(0, len(facts), PIECE):
            silent = np.flatnonzero(~is_asked[begin : begin + PIECE])
            if len(silent):
                piece = np.memmap(self._path, np.uint32, "r+", begin * near.SLOTS * 4, (silent[-1] + 1, near.SLOTS))
                piece[silent] = np.uint32(0xFFFFFFFF)
                piece.flush()
                del piece
        signed = np.memmap(self._path, np.uint32, "r", shape=(len(facts), near.SLOTS))
        self.leaders = near.leaders(signed, np.ascontiguousarray(facts["place"]), share)
        stays: Bools = self.leaders[rows] == rows
        return stays


def _check_lengths(gathered: Gathered, chosen: Chosen) -> None:
    """Raise DataError for the first of the chosen rows that is too long and may not be cut or left out."""
    rows = np.sort(np.concatenate(list(chosen.splits.values())))
    too_long = rows[(gathered.facts["flags"][rows] & int(Flag.TOO_LONG)) != 0]
    if not len(too_long):
        return
    first = int(too_long[0])
    fact = gathered.facts[first]
    count = max(int(fact["tokens"] - fact["rejected"]), int(fact["rejected"]))
    max_tokens, context = gathered.model.max_tokens, gathered.model.context
    raised = "" if max_tokens == context else f", or raise length.max_tokens (the model takes {context})"
    raise DataError(
        f"the example is {count} tokens long, at most {max_tokens} fit",
        where=gathered.place(first),
        mend=f"set length.when_longer=drop or length.when_longer=truncate{raised}",
    )


def _check_filled(spec: PrepareSpec, gathered: Gathered, chosen: Chosen, tell: Tell) -> None:
    splits = chosen.splits
    shares = {"train": spec.split.train, "dev": spec.split.dev, "test": spec.split.test}
    empty = [name for name in SPLITS if not len(splits[name]) and shares[name]]
    counts = f"{gathered.rows} rows read; {tally(gathered.dropped.counts)}"
    where = ", ".join(source["path"] for source in gathered.sources)
    if "train" in empty:
        raise DataError(
            f"no example is left in train ({counts})",
            where=where,
            mend="give more rows, raise split.train or max_train_tokens, or loosen where and length",
        )
    if not any(len(rows) for rows in splits.values()):
        raise DataError(
            f"no example is left in any split ({counts})",
            where=where,
            mend="give more rows, or loosen where and length",
        )
    for name in empty:
        tell(Warned(f"no example fell into {name} ({counts})", f"give more rows, or raise split.{name}"))


def _evidence(gathered: Gathered, chosen: Chosen, passages: Passages | None) -> Evidence:
    split = np.full(len(gathered.facts), NOT_TAKEN, np.int8)
    for number, name in enumerate(SPLITS):
        split[chosen.splits[name]] = number
    dropped = gathered.dropped
    seen = {
        reason: Seen(count, tuple(Place(where, what) for where, what in dropped.first[reason]))
        for reason, count in dropped.counts.items()
    }
    markers = gathered.model.added if gathered.task == "classification" else gathered.model.markers
    is_named = gathered.task != "classification" or ": one" in next(iter(gathered.kinds))
    return Evidence(
        spec=gathered.spec,
        task=gathered.task,
        max_tokens=gathered.model.max_tokens,
        rows_read=gathered.rows,
        markers=1 if gathered.kinds.keys() == {"text"} else markers,
        facts=gathered.facts,
        split=split,
        sources=[source["path"] for source in gathered.sources],
        tags=gathered.tags,
        labels=gathered.labels if is_named else [],
        dropped=seen,
        example=gathered.example,
        passages=passages,
    )
