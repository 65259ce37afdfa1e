"""The ledger: what each training row's loss did, and which rows were never learned, memorised or look mislabelled.

Losses fall for every row as a model gets better: a row is held against the rows of its own step, not against a
number. Rows still hard when others have become easy are often wrong (Swayamdipta et al. 2020, arXiv:2009.10795:
the hard-to-learn region; Northcutt et al. 2019, arXiv:1911.00068, for the use of it).
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from luthier.artifact import atomic

LEDGER = "ledger.jsonl"
MEMORISED = 0.05
"""Nats per token below which a row is known by heart."""
HARD = 3.0
"""Robust standard deviations above its step's median."""


@dataclass(frozen=True)
class Seen:
    """One row, seen in one step: mean loss per supervised token, and how far above its step's median it was."""

    step: int
    loss: float
    above: float


@dataclass
class Ledger:
    """Every row's losses, in the order in which they came."""

    seen: dict[int, list[Seen]] = field(default_factory=dict)
    """Row -> each time it was learned from."""

    def note(self, step: int, rows: Sequence[int], losses: Sequence[float]) -> None:
        """Note the mean losses, in nats per supervised token, of the rows of one step."""
        middle = median(losses)
        spread = max(1.4826 * median(abs(loss - middle) for loss in losses), 0.05)  # 1.4826: MAD to a normal's sigma
        for row, loss in zip(rows, losses, strict=True):
            self.seen.setdefault(row, []).append(Seen(step, loss, (loss - middle) / spread))

    def verdict(self, row: int) -> str:
        """Say what became of a row: `learned`, `memorised`, `never learned`, `doubtful` or `seen once`.

        A row is doubtful if each time it was harder than its step's others by `HARD` deviations and its loss hardly
        fell: its answer may be wrong, or of another kind than the rest.
        """
        times = self.seen[row]
        first, last = times[0], times[-1]
        if last.loss < MEMORISED:
            return "memorised"
        is_hard = all(time.above > HARD for time in times)
        if len(times) == 1:
            return "doubtful" if is_hard else "seen once"
        if last.loss > 0.95 * first.loss:
            return "doubtful" if is_hard else "never learned"
        return "learned"

    def counts(self) -> dict[str, int]:
        """Count the verdicts."""
        return dict(sorted(Counter(self.verdict(row) for row in self.seen).items()))

    def write(self, path: Path, name: Callable[[int], tuple[str, str]]) -> None:
        """Write one line a row, the worst first; `name` gives a row's content id and its source.

        `weight` is what `prepare weights=FILE` makes of the row: 0 for doubtful ones, which leaves them out.
        """
        lines = []
        for row in sorted(self.seen, key=lambda row: (-min(time.above for time in self.seen[row]), row)):
            times, verdict, (id_, source) = self.seen[row], self.verdict(row), name(row)
            line = {
                "id": id_,
                "source": source,
                "verdict": verdict,
                "weight": 0.0 if verdict == "doubtful" else 1.0,
                "first_loss": round(times[0].loss, 4),
                "last_loss": round(times[-1].loss, 4),
                "above": round(min(time.above for time in times), 2),
                "steps": [time.step for time in times],
            }
            lines.append(json.dumps(line, ensure_ascii=False) + "\n")
        atomic.write_text(path, "".join(lines))

    def save(self, path: Path) -> None:
        """Write what a resumed run needs."""
        plain = {str(row): [[time.step, time.loss, time.above] for time in times] for row, times in self.seen.items()}
        atomic.write_json(path, plain)

    def load(self, path: Path, up_to: int) -> None:
        """Read it back, up to a step: a kill may have come after later ones."""
        plain = json.loads(path.read_text(encoding="utf-8"))
        for row, times in plain.items():
            kept = [Seen(int(step), loss, above) for step, loss, above in times if step <= up_to]
            if kept:
                self.seen[int(row)] = kept
