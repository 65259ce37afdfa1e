"""The figures of the card, and what is told of them."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from luthier.artifact.example import SPLITS
from luthier.artifact.packs import Packs, padding_share
from luthier.event import Counted, Said, Tell, Warned
from luthier.prepare.choose import Chosen
from luthier.prepare.facts import Flag
from luthier.prepare.gather import Gathered
from luthier.prepare.shards import Ints

PERCENTILES = (50, 90, 99, 100)


def figures_of(gathered: Gathered, chosen: Chosen) -> dict[str, Any]:
    """Count what was read, left out and kept."""
    facts, splits = gathered.facts, chosen.splits
    kept = np.unique(np.concatenate(list(splits.values())))
    figures: dict[str, Any] = {
        "task": gathered.task,
        "rows": {"read": gathered.rows, "kept": len(kept)},
        "dropped": gathered.dropped.figures(),
        "examples": {name: _by_tag(gathered, splits[name]) for name in SPLITS},
        "tokens": {name: int(facts["tokens"][splits[name]].sum(dtype=np.int64)) for name in SPLITS},
        "supervised": {name: int(facts["supervised"][splits[name]].sum(dtype=np.int64)) for name in SPLITS},
        "lengths": {name: _percentiles(facts["tokens"][splits[name]]) for name in SPLITS},
        "truncated": _flagged(gathered, kept, Flag.TRUNCATED),
    }
    if gathered.task == "classification":
        figures["labels"] = _labels(gathered)
    if gathered.expanded:
        figures["expanded"] = gathered.expanded
    if gathered.cleaned:
        figures["cleaned"] = dict(sorted(gathered.cleaned.items()))
    if chosen.mix:
        figures["mix"] = [
            {"set": one.name, "rows": one.rows, "taken": one.taken, "epochs": round(one.epochs, 4)}
            for one in chosen.mix
        ]
    return figures


def _by_tag(gathered: Gathered, rows: Ints) -> dict[str, int]:
    counts = np.bincount(gathered.facts["tag"][rows], minlength=len(gathered.tags)).tolist()
    return {name: count for name, count in sorted(zip(gathered.tags, counts, strict=True)) if count}


def _percentiles(lengths: Ints) -> dict[str, int]:
    """Give lengths in tokens: half of the examples are at most p50 long; p100 is the longest."""
    if not len(lengths):
        return {}
    values = np.percentile(lengths, PERCENTILES, method="inverted_cdf")
    return {f"p{share}": int(value) for share, value in zip(PERCENTILES, values, strict=True)}


def _flagged(gathered: Gathered, rows: Ints, flag: Flag) -> int:
    return int(np.count_nonzero(gathered.facts["flags"][rows] & int(flag)))


def _labels(gathered: Gathered) -> dict[str, Any]:
    """Say what is to be told: one class, several at once (each combination is split up), or a number."""
    kind = next(iter(gathered.kinds)).partition(": ")[2]
    names = {part for name in gathered.labels for part in (json.loads(name) if kind == "several" else [name])}
    return {"kind": kind, "names": sorted(names)}


def packing_figures(gathered: Gathered, rows: Ints, packs: Packs, room: int) -> dict[str, Any]:
    """Say how much of the training split would be padding, padded in batches of 8 and packed."""
    lengths = gathered.facts["tokens"][rows]
    after = 1 - float(lengths.sum(dtype=np.int64)) / (len(packs) * room)
    before = padding_share(lengths)
    return {"tokens": room, "rows": len(packs), "padding_before": round(before, 4), "padding_after": round(after, 4)}


def tell_figures(gathered: Gathered, figures: Mapping[str, Any], tell: Tell) -> None:
    """Tell the counts, and warn of answers that do not end."""
    more = {name: figures[name] for name in ("truncated", "expanded") if figures.get(name)}
    tell(Counted("rows", {**figures["rows"], **more, **figures["dropped"]}))
    if "cleaned" in figures:
        tell(Counted("cleaned", figures["cleaned"]))
    by_tag = {
        f"{name} ({tag})" if tag else name: count
        for name, tags in figures["examples"].items()
        for tag, count in tags.items()
    }
    tell(Counted("examples", by_tag))
    tell(Counted("tokens", figures["tokens"]))
    if figures["task"] != "classification":  # there a head learns the label, and no token is
        tell(Counted("supervised tokens", figures["supervised"]))
    if "packing" in figures:
        found = figures["packing"]
        padding = f"padding {found['padding_after']:.1%} (in batches of 8, not packed: {found['padding_before']:.1%})"
        tell(
            Said(
                f"packed into {found['rows']:,} row{'s' * (found['rows'] > 1)} of {found['tokens']:,} tokens: {padding}"
            )
        )


def warn_endless(gathered: Gathered, chosen: Chosen, tell: Tell) -> None:
    """Warn if answers end without a stop token: a model trained on them would not learn to stop."""
    kept = np.unique(np.concatenate(list(chosen.splits.values())))
    endless = _flagged(gathered, kept, Flag.ENDLESS)
    if endless:
        tell(
            Warned(
                f"{endless} of {len(kept)} examples end without a stop token: the model would not learn to end its "
                "answer",
                "use a chat template that closes the assistant's turn with the model's end token",
            )
        )
