"""The verdict as a page: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from luthier.artifact import atomic
from luthier.compare.spec import CompareSpec
from luthier.compare.verdict import Weighed
from luthier.measure.metrics import metrics


def write_page(
    path: Path,
    spec: CompareSpec,
    data: str,
    weighed: Sequence[Weighed],
    chosen: Weighed | None,
    words: Sequence[str],
    records: Sequence[Mapping[str, Any]],
) -> None:
    """Write the page: the verdict, a table of candidates with figures and costs, and every row's answers."""
    # What a model says is a stranger's text: everything is escaped, and the page forbids itself every other source
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    first = spec.metrics[0]
    reach = max((abs(value) for one in weighed for value in _ends(one, first)), default=0.0) or 1.0
    lines = [
        {
            "label": one.candidate.label,
            "name": one.candidate.name,
            "is_chosen": one is chosen,
            "passed": one.passed,
            "failed": [f"{verdict.rule}: {verdict.value}" for verdict in one.verdicts if not verdict.passed],
            "figures": [one.table["metrics"][name] for name in spec.metrics],
            "marks": [round(50 + 46 * value / reach, 2) for value in _ends(one, first)],
            "verdict": _sure(one, first),
            "cost": one.cost,
            **one.costs,
        }
        for one in weighed
    ]
    page = environment.get_template("comparison.html.jinja").render(
        words=words,
        lines=lines,
        labels=[(metrics()[name].label, metrics()[name].higher_is_better) for name in spec.metrics],
        gate=spec.gate,
        data=data,
        confidence=f"{spec.confidence:.0%}",
        answers=spec.answers,
        rows=sorted(records, key=lambda row: (_spread(row["figures"]), row["id"])),
        passes=chosen is not None,
    )
    atomic.write_text(path, page)


def _ends(one: Weighed, metric: str) -> list[float]:
    found = [one.table["metrics"][metric][name] for name in ("low", "gain", "high")]
    return [] if None in found or one.candidate.way == "base" else found


def _sure(one: Weighed, metric: str) -> str:
    ends = _ends(one, metric)
    return "open" if not ends else "better" if ends[0] > 0 else "worse" if ends[2] < 0 else "open"


def _spread(figures: Sequence[float | None]) -> float:
    """Rows on which candidates differ most come first."""
    known = [value for value in figures if value is not None]
    return min(known) - max(known) if known else 0.0
