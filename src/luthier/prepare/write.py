"""The last pass: the rows that were chosen, copied from their shards into the artifact, one batch after another."""

import json
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import SPLITS, from_plain, line_of
from luthier.artifact.packs import Packs, first_fit_decreasing, write_packs
from luthier.artifact.tokens import Tokens, write_rows
from luthier.errors import DataError
from luthier.prepare.clean import record
from luthier.prepare.clean.change import Rule
from luthier.prepare.facts import Flag
from luthier.prepare.gather import Gathered
from luthier.prepare.shards import Ints, Shard, Side

Weights = npt.NDArray[np.float32]
LINES_AT_ONCE = 1 << 14


def write_splits(out: Path, gathered: Gathered, splits: dict[str, Ints], factors: Weights) -> None:
    """Write `{split}.jsonl` and `{split}.safetensors`, and of preference pairs `{split}.rejected.safetensors`.

    `factors`, of shape (rows,), multiply the rows' weights. All weights end in the tokens' file: who learns needs no
    other.
    """
    for name in SPLITS:
        rows = splits[name]
        _write_lines(out / f"{name}.jsonl", gathered, rows, factors)
        _write_side(out / f"{name}.safetensors", gathered, rows, factors, is_rejected=False)
        if gathered.task == "preference":
            _write_side(out / f"{name}.rejected.safetensors", gathered, rows, factors, is_rejected=True)


def _batches(gathered: Gathered, rows: Ints) -> Iterator[tuple[Shard, Ints, Ints]]:
    """Give each shard that holds some of the rows (in the order of reading), their numbers in it, and the rows."""
    numbers, batches = (gathered.facts[name][rows].astype(np.int64) for name in ("number", "batch"))
    borders = [*np.flatnonzero(np.diff(batches, prepend=-1)).tolist(), len(rows)]
    for begin, end in pairwise(borders):
        yield gathered.shard(int(batches[begin])), numbers[begin:end], rows[begin:end]


def _write_lines(path: Path, gathered: Gathered, rows: Ints, factors: Weights) -> None:
    with path.open("wb") as file:
        for shard, numbers, here in _batches(gathered, rows):
            if np.all(factors[here] == 1):
                file.write(b"".join([shard.line(number) for number in numbers.tolist()]))
                continue
            for number, factor in zip(numbers.tolist(), factors[here].tolist(), strict=True):
                file.write(_weighed(shard.line(number), factor))


def _weighed(line: bytes, factor: float) -> bytes:
    if factor == 1:
        return line
    form = json.loads(line)
    form["weight"] = form.get("weight", 1.0) * factor
    return line_of(from_plain(form)).encode()


def _write_side(path: Path, gathered: Gathered, rows: Ints, factors: Weights, *, is_rejected: bool) -> None:
    of = gathered.facts[rows]
    lengths = of["rejected"] if is_rejected else of["tokens"] - of["rejected"]
    is_weighted = bool(np.any(of["flags"] & Flag.WEIGHTED)) or bool(np.any(factors[rows] != 1))

    def blocks() -> Iterator[Tokens]:
        for shard, numbers, here in _batches(gathered, rows):
            side = shard.rejected if is_rejected else shard.chosen
            yield _block(side, numbers, factors[here])

    write_rows(path, lengths.tolist(), blocks(), has_weight=is_weighted)


def _block(side: Side, numbers: Ints, factors: Weights) -> Tokens:
    """Give some rows' tokens as one: they lie one after the other in the file, too."""
    block = side.block(numbers)
    if np.all(factors == 1):
        return block
    own = np.ones(len(block.ids), np.float32) if block.weight is None else block.weight
    lengths = side.begins[numbers + 1] - side.begins[numbers]
    return Tokens(block.ids, block.mask, own * np.repeat(factors, lengths))


def write_plan(out: Path, gathered: Gathered, rows: Ints, room: int) -> Packs:
    """Plan how the rows of the training split share rows of `room` tokens. A pair's two answers stand together.

    Raises DataError for an example that is longer than the room.
    """
    lengths = gathered.facts["tokens"][rows]
    longest = int(lengths.argmax())
    if lengths[longest] > room:
        raise DataError(
            f"the example is {lengths[longest]} tokens long, a packed row has {room}",
            where=gathered.place(int(rows[longest])),
            mend="raise pack.tokens, or set length.max_tokens to it and say what happens to longer ones",
        )
    packs = first_fit_decreasing(lengths, room)
    write_packs(out, "train", packs)
    return packs


def write_cleaned(out: Path, gathered: Gathered, leaders: Ints | None) -> None:
    """Put together what cleaning did in each batch, in the order of reading, then which duplicates were left out.

    Where nothing was done there is no file.
    """
    facts, drops = gathered.facts, gathered.spec.clean.exact_duplicates == "drop"
    again = np.flatnonzero(facts["flags"] & int(Flag.DUPLICATE)) if drops else np.zeros(0, np.int64)
    alike = np.flatnonzero(facts["flags"] & int(Flag.NEAR_DUPLICATE))
    if not gathered.cleaned and not len(again) and not len(alike):
        return
    with (out / record.NAME).open("wb") as file:
        for path in sorted(gathered.folder.glob("*.cleaned")):
            with path.open("rb") as part:
                shutil.copyfileobj(part, file)
        same, like = _first_of_content(gathered, again), alike if leaders is None else leaders[alike]
        file.writelines(_duplicate_lines(gathered, "exact_duplicates", again, same))
        file.writelines(_duplicate_lines(gathered, "near_duplicates", alike, like))


def _first_of_content(gathered: Gathered, again: Ints) -> Ints:
    """Give for each duplicate the row with its content that is none."""
    facts = gathered.facts
    stays = np.flatnonzero(facts["flags"] & int(Flag.DUPLICATE) == 0)
    stays = stays[np.isin(facts["id"][stays], facts["id"][again])]
    order = stays[np.argsort(facts["id"][stays], kind="stable")]
    found: Ints = order[np.searchsorted(facts["id"][order], facts["id"][again])]
    return found


def _duplicate_lines(gathered: Gathered, rule: Rule, rows: Ints, first: Ints) -> Iterator[bytes]:
    # a million may be alike: the names of their files are written as JSON once, and few rows are lists at a time
    paths = [json.dumps(source["path"], ensure_ascii=False)[1:-1] for source in gathered.sources]
    what = "the same as" if rule == "exact_duplicates" else "nearly the same as"
    for begin in range(0, len(rows), LINES_AT_ONCE):
        of, to = (gathered.facts[some[begin : begin + LINES_AT_ONCE]] for some in (rows, first))
        columns = (facts[name].tolist() for facts in (of, to) for name in ("source", "line"))
        for source, line, other, there, id in zip(*columns, of["id"].tolist(), strict=True):
            yield (
                f'{{"source": "{paths[source]}:{line}", "rule": "{rule}", "action": "dropped", "where": "", '
                f'"before": "{what} {paths[other]}:{there}", "count": 1, "id": "{id:016x}"}}\n'
            ).encode()
