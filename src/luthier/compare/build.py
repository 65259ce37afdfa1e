"""The heavy half of a comparison: ask every candidate, weigh the answers, write figures and the page."""

import gc
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.example import Example
from luthier.artifact.store import Artifact
from luthier.compare.ask import Asked, ask
from luthier.compare.candidate import Candidate
from luthier.compare.page import write_page
from luthier.compare.search import read_rows, sampling
from luthier.compare.spec import CompareSpec
from luthier.compare.verdict import Weighed, best, choose, in_words
from luthier.compare.weigh import plain_table, row_figures, weigh
from luthier.event import Chose, Compared, Judged, Said, Tell, Warned
from luthier.measure.gate import judge
from luthier.measure.task import HELDOUT

FEW_ROWS = 20
"""Below so many rows an interval itself is a guess."""


def compare_candidates(
    spec: CompareSpec,
    candidates: Sequence[Candidate],
    data: Artifact,
    out: Path,
    work: Path,
    tell: Tell,
    check: Callable[[], None],
) -> Mapping[str, Any]:
    """Fill `out` with comparison.json, answers.jsonl and comparison.html. Gives the figures; the base comes first.

    `check` raises if what is asked is no longer as it was.
    """
    rows = read_rows(data.folder, spec.split, spec.rows, spec.seed)
    _tell_rows(spec, candidates, rows, tell)
    asked = []
    for place, candidate in enumerate(candidates):
        kept = work / f"{place}.jsonl"
        asked.append(
            ask(candidate.label, rows, spec.rows_per_batch, sampling(spec), kept, candidate.open, tell, check=check)
        )
        gc.collect()  # one goes before the next comes: memory for one must do
    weighed = _weigh_all(spec, candidates, asked, rows, tell)
    chosen, top = choose(weighed), best(weighed, spec.metrics[0])
    beyond = None
    if chosen is not None and top is not chosen:
        before, after = (_answers(asked[weighed.index(one)]) for one in (chosen, top))
        beyond = weigh(spec, rows, before, after, _comparisons(candidates))[spec.metrics[0]]
    words = in_words(weighed, chosen, top, beyond, spec.metrics[0])
    for line in words:
        tell(Said(line))
    figures = {
        "verdict": words,
        "chosen": chosen.candidate.name if chosen else None,
        "best": top.candidate.name,
        "candidates": [_plain(one) for one in weighed],
    }
    records = [_record(spec, row, place, candidates, asked) for place, row in enumerate(rows)]
    scores = [row_figures(spec, rows, _answers(one)) for one in asked]
    for place, record in enumerate(records):
        record["figures"] = [score[place] for score in scores]
    atomic.write_json(out / "comparison.json", figures)
    lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n" for record in records]
    atomic.write_text(out / "answers.jsonl", "".join(lines))
    write_page(out / "comparison.html", spec, data.id, weighed, chosen, words, records)
    return figures


def _comparisons(candidates: Sequence[Candidate]) -> int:
    """Each candidate against the base, and the best against the chosen."""
    return len(candidates)


def _weigh_all(
    spec: CompareSpec, candidates: Sequence[Candidate], asked: Sequence[Asked], rows: Sequence[Example], tell: Tell
) -> list[Weighed]:
    weighed = []
    for candidate, one in zip(candidates, asked, strict=True):
        found = weigh(spec, rows, _answers(asked[0]), _answers(one), _comparisons(candidates))
        for metric, comparison in found.items() if candidate.way != "base" else ():
            tell(Compared(tag=candidate.label, metric=metric, rows=len(rows), **asdict(comparison)))
        table = plain_table(rows, found)
        verdicts = judge(spec.gate, {HELDOUT: table})
        for verdict in verdicts:
            tell(Judged(f"{candidate.label}: {verdict.rule}", verdict.value, verdict.passed))
        costs = {
            "seconds": one.seconds,
            "latency": one.latency,
            "tokens": one.tokens,
            "memory_bytes": one.memory_bytes or None,
            "made_seconds": candidate.made_seconds,
        }
        cost = one.seconds + candidate.made_seconds / spec.answers
        weighed.append(Weighed(candidate, table, verdicts, cost, costs))
        _warn_of_cut(candidate, one, spec, tell)
    return weighed


def _tell_rows(spec: CompareSpec, candidates: Sequence[Candidate], rows: Sequence[Example], tell: Tell) -> None:
    names = ", ".join(candidate.label for candidate in candidates)
    tell(Chose("candidates", str(len(candidates)), f"{names}; each is asked the same {len(rows)} rows"))
    groups = len({row.group or row.id for row in rows})
    if groups < FEW_ROWS:
        tell(
            Warned(
                f"intervals from {groups} independent rows are a guess",
                f"raise rows, or hold out more: {FEW_ROWS} at least, 100 are good",
            )
        )
    if len(candidates) > 1:
        count = _comparisons(candidates)
        why = f"{count} comparisons are made, and all intervals hold together {spec.confidence:.0%} of the time"
        tell(Chose("each interval", f"{1 - (1 - spec.confidence) / count:.2%}", f"{why} (Bonferroni)"))


def _warn_of_cut(candidate: Candidate, one: Asked, spec: CompareSpec, tell: Tell) -> None:
    cut = sum(reply.finish == "length" for reply in one.replies)
    if cut * 2 > len(one.replies):
        what = f"{candidate.label}: {cut} of {len(one.replies)} answers were cut off after {spec.max_tokens} tokens"
        tell(Warned(what, "raise max_tokens, or take it as a fault of the candidate"))


def _answers(asked: Asked) -> list[str]:
    return [reply.text for reply in asked.replies]


def _plain(one: Weighed) -> dict[str, Any]:
    return {
        "way": one.candidate.way,
        "label": one.candidate.label,
        "name": one.candidate.name,
        "passed": one.passed,
        "rules": [asdict(verdict) for verdict in one.verdicts],
        "cost_seconds": one.cost,
        "costs": dict(one.costs),
        **one.table,
    }


def _record(
    spec: CompareSpec, row: Example, place: int, candidates: Sequence[Candidate], asked: Sequence[Asked]
) -> dict[str, Any]:
    return {
        "id": row.id,
        "source": row.source,
        "question": row.shown,
        "reference": row.reference,
        "answers": [one.replies[place].text for one in asked],
        "finish": [one.replies[place].finish for one in asked],
    }
