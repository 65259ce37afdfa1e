"""How long the rows are: figures, bars of text, and a picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
PERCENTILES = (50, 90, 99, 100)
MOST_BARS = 14
EIGHTHS = " ▏▎▍▌▋▊▉"
COLOURS = {"train": "#2563eb", "dev": "#f59e0b", "test": "#10b981"}


@dataclass(frozen=True)
class Histogram:
    """How many rows of each split have how many tokens."""

    edges: tuple[int, ...]
    """Bar n holds lengths from edges[n] up to, but without, edges[n + 1]; the last bar holds all that are longer."""
    counts: Mapping[str, tuple[int, ...]]
    """Split -> rows in each bar."""

    @property
    def totals(self) -> tuple[int, ...]:
        """Rows in each bar, of all splits."""
        return tuple(sum(column) for column in zip(*self.counts.values(), strict=True))

    def plain(self) -> dict[str, Any]:
        """Give it as JSON can hold it."""
        return {"edges": list(self.edges), "counts": {name: list(counts) for name, counts in self.counts.items()}}


def histogram(lengths: Mapping[str, Ints]) -> Histogram:
    """Count lengths in bars of one width: 1, 2 or 5 times a power of ten, so that most fit; the last takes the rest."""
    every = np.concatenate([np.asarray(values, np.int64) for values in lengths.values()])
    if not len(every):
        return Histogram((0,), dict.fromkeys(lengths, (0,)))
    low, high = int(every.min()), int(np.percentile(every, 99, method="inverted_cdf"))
    width = _width(high - low + 1)
    first, last = low // width, high // width
    has_more = int(every.max()) // width > last
    edges = tuple(width * number for number in range(first, last + has_more + 1))
    counts = {name: tuple(_counted(values // width - first, len(edges))) for name, values in lengths.items()}
    return Histogram(edges, counts)


def _counted(bars_of_rows: Ints, bars: int) -> list[int]:
    found: list[int] = np.bincount(np.minimum(bars_of_rows, bars - 1), minlength=bars).tolist()
    return found


def _width(span: int) -> int:
    power = 1
    while True:
        for factor in (1, 2, 5):
            if factor * power * MOST_BARS >= span:
                return factor * power
        power *= 10


def bars(shown: Histogram, columns: int) -> list[str]:
    """Draw the totals as lines of text no wider than `columns`."""
    totals = shown.totals
    names = [f"{edge:,}-{following - 1:,}" for edge, following in pairwise(shown.edges)]
    names.append(f"{shown.edges[-1]:,} or more")
    label, figure = max(map(len, names)), max(len(f"{total:,}") for total in totals)
    room = max(8, columns - label - figure - 6)
    most = max(1, *totals)
    return [
        f"  {name:>{label}}  {_bar(total, most, room):<{room}}  {total:>{figure},}".rstrip()
        for name, total in zip(names, totals, strict=True)
    ]


def _bar(value: int, most: int, room: int) -> str:
    """Give a bar in eighths of a column; whatever is there is seen."""
    eighths = max(1, round(8 * room * value / most)) if value else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def percentiles(lengths: Sequence[int] | Ints) -> dict[str, int]:
    """Give lengths in tokens: half of the rows are at most p50 long; p100 is the longest."""
    if not len(lengths):
        return {}
    values = np.percentile(lengths, PERCENTILES, method="inverted_cdf")
    return {f"p{share}": int(value) for share, value in zip(PERCENTILES, values, strict=True)}


def draw(shown: Histogram, figures: Mapping[str, int], max_tokens: int, path: Path) -> None:
    """Write the picture: a bar for each range, the splits on one another, the median and the 99th percentile."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # 0.4 s, and no window system
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = np.arange(len(shown.edges))
    width = shown.edges[1] - shown.edges[0] if len(places) > 1 else 1
    floor = np.zeros(len(places))
    for name, counts in shown.counts.items():
        if any(counts):
            axes.bar(places, counts, 0.9, bottom=floor, color=COLOURS[name], label=f"{name}: {sum(counts):,} rows")
            floor = floor + np.asarray(counts)
    for name, style in (("p50", "-"), ("p99", "--")):
        if name in figures:
            spot = min((figures[name] + 0.5 - shown.edges[0]) / width, len(places)) - 0.5
            axes.axvline(spot, color="#6b7280", linestyle=style, linewidth=1, label=f"{name}: {figures[name]:,} tokens")
    axes.set_xticks(places, [f"{edge:,}" for edge in shown.edges], rotation=45, ha="right", fontsize=8)
    axes.set_xlabel(f"tokens in a row, from ... on (at most {max_tokens:,} fit)")
    axes.set_ylabel("rows")
    axes.spines[["top", "right"]].set_visible(False)
    if any(shown.totals):
        axes.legend(frameon=False, fontsize=8)
    figure.savefig(path, format="png", metadata={"Software": None})
