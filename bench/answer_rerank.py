"""Whether late interaction orders better than the search did: nDCG@5 with a bootstrap interval of the difference.

    python bench/answer_rerank.py .luthier/knowledge/NAME QUESTIONS.jsonl [SECONDS]

Each line of the file has `question` and `documents` (labels that hold the answer). It ends after so many seconds.
"""

import json
import sys
import time
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from luthier.answer.passage import Passage
from luthier.answer.relevance import Meaning
from luthier.answer.rerank import Bench, rerank
from luthier.answer.trace import Trace
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import open_index

PLACES, TOP = 5, 8


def ndcg(passages: Sequence[Passage], relevant: Collection[str]) -> float:
    """Give nDCG@5 with gains of 0 and 1."""
    weights = 1 / np.log2(np.arange(PLACES) + 2)
    gains = [float(passage.chunk.document in relevant) for passage in passages[:PLACES]]
    return float(weights[: len(gains)] @ np.asarray(gains) / weights[: len(relevant)].sum())


def main(folder: Path, questions: Path, seconds: float = 300.0) -> None:
    """Print both figures and the difference."""
    base = open_index(folder)
    meaning, ends = Meaning(base, True), time.monotonic() + seconds
    pairs = []
    for row in map(json.loads, questions.read_text(encoding="utf-8").splitlines()):
        if not row.get("documents") or time.monotonic() > ends:
            continue
        hits = base.search(row["question"], SearchSpec(way="hybrid")).hits
        found = [Passage(hit.chunk, hit.score, hit.base, hit.why) for hit in hits]
        late = rerank("late", row["question"], found, TOP, Bench(meaning, None, "", Trace(row["question"])))
        pairs.append((ndcg(found, set(row["documents"])), ndcg(late, set(row["documents"]))))
    before, after = np.asarray(pairs).T
    generator = np.random.default_rng(0)
    drawn = [generator.choice(after - before, len(pairs)).mean() for _ in range(2_000)]
    low, high = np.quantile(drawn, [0.025, 0.975])
    print(f"{len(pairs)} questions, nDCG@{PLACES}: hybrid {before.mean():.3f}, late {after.mean():.3f}")
    print(f"difference {(after - before).mean():+.3f} ({low:+.3f} to {high:+.3f})")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(float, sys.argv[3:4]))
