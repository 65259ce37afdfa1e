"""Answers put to a judge, and judges put to the test against what people said."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.engine.judging import Case, Judge, Verdict, close_judge
from luthier.evaluate.ask import Reply
from luthier.evaluate.find_out import Find, Found, Samples
from luthier.evaluate.kept import Kept, key_of
from luthier.evaluate.question import Question
from luthier.event import Progress, Tell
from luthier.measure.task import TaskSpec

GOOD_FROM = 4
"""From this score on a verdict counts as yes, where people said yes or no."""
AT_ONCE = 16


class Bench:
    """A judge, opened when a verdict is missing, whose verdicts are kept."""

    def __init__(self, open_judge: Callable[[], Judge], kept: Kept, tell: Tell) -> None:
        """Take what opens the judge, and where its verdicts lie."""
        self._open = open_judge
        self._judge: Judge | None = None
        self._kept = kept
        self._tell = tell

    def open(self) -> None:
        """Open the judge now. Raises what opening it raises."""
        self._judge = self._judge or self._open()

    def verdicts(self, criterion: str, cases: Sequence[Case], *, answer_first: bool = False) -> list[Verdict]:
        """Give a verdict on each case. What could not be judged is not kept: it is tried again at the next run."""
        keys = [key_of([criterion, answer_first, case.question, case.context, case.answer]) for case in cases]
        missing = [place for place, key in enumerate(keys) if key not in self._kept]
        failed: dict[str, Verdict] = {}
        for begin in range(0, len(missing), AT_ONCE):
            places = missing[begin : begin + AT_ONCE]
            self.open()
            assert self._judge is not None
            found = self._judge.judge(criterion, [cases[place] for place in places], answer_first=answer_first)
            pairs = [(keys[place], verdict) for place, verdict in zip(places, found, strict=True)]
            failed |= {key: verdict for key, verdict in pairs if verdict.score is None}
            self._kept.add({key: [one.score, one.reason] for key, one in pairs if one.score is not None})
            self._tell(Progress(f"judge {criterion}", begin + len(places), len(missing), "answers"))
        return [failed[key] if key in failed else Verdict(*self._kept[key]) for key in keys]

    def close(self) -> None:
        """Let the judge's model give back what it holds."""
        close_judge(self._judge)


def find_judged(criterion: str, bench: Bench) -> Find:
    """Give what finds out the scores of a criterion; an answer that could not be judged has 0, below the lowest."""

    def find(task: TaskSpec, rows: Sequence[Question], samples: Samples) -> Found:
        cases = [Case(row.asked, row.context, texts[0]) for row, texts in zip(rows, samples, strict=True)]
        verdicts = bench.verdicts(criterion, cases)
        values = np.asarray([[verdict.score or 0] for verdict in verdicts], dtype=np.float64).reshape(-1, 1)
        unjudged = sum(verdict.score is None for verdict in verdicts)
        return Found(values, [f"{verdict.score or 'unjudged'}: {verdict.reason}" for verdict in verdicts], unjudged)

    return find


def calibrate(task: TaskSpec, rows: Sequence[Question], bench: Bench) -> list[Reply]:
    """Give, as replies, the label a judge comes to on each row; '' where it came to none.

    Each case is put to it twice, the second time with the answer before what it is held against: `details` holds both
    scores, so that it shows whether what stands first wins.
    """
    cases = [Case(row.asked, row.context, row.claim) for row in rows]
    both = [bench.verdicts(task.criterion, cases, answer_first=first) for first in (False, True)]
    return [
        Reply(
            texts=(label(task, verdict),),
            finishes=("stop",),
            details={"scores": [verdict.score, swapped.score], "reason": verdict.reason, "length": len(case.answer)},
        )
        for verdict, swapped, case in zip(*both, cases, strict=True)
    ]


def label(task: TaskSpec, verdict: Verdict) -> str:
    """Give the second of a task's two labels for a good score, the first for a bad one, '' where there is none."""
    return "" if verdict.score is None else task.labels[int(verdict.score >= GOOD_FROM)]


def biases(replies: Sequence[Reply]) -> dict[str, Any]:
    """Give how a judge leans: how often its yes or no hangs on what stands first, and how scores go with length."""
    pairs = [reply.details["scores"] for reply in replies if None not in reply.details["scores"]]
    scored = [reply.details for reply in replies if reply.details["scores"][0] is not None]
    flips = [(first >= GOOD_FROM) != (second >= GOOD_FROM) for first, second in pairs]
    scores = np.asarray([details["scores"][0] for details in scored], dtype=np.float64)
    lengths = np.asarray([details["length"] for details in scored], dtype=np.float64)
    return {
        "unjudged": len(replies) - len(scored),
        "changed by order": sum(flips) / len(flips) if flips else None,
        "score with length": _correlation(_ranks(scores), _ranks(lengths)),
    }


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Give mean ranks: ties share theirs."""
    return np.asarray([(values < value).sum() + ((values == value).sum() - 1) / 2 for value in values])


def _correlation(first: npt.NDArray[np.float64], second: npt.NDArray[np.float64]) -> float | None:
    """Give Spearman's rho of ranks; None where one side does not vary."""
    if len(first) < 2 or first.std() == 0 or second.std() == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])
