"""What to make of the data, in plain words: a rule each, with the numbers it is drawn from."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from luthier.prepare.lint.evidence import Evidence
from luthier.prepare.lint.lengths import percentiles
from luthier.prepare.lint.set_rules import FEW_ANSWERS

MULTIPLE = 64
"""Lengths advised are a multiple of this many tokens."""


@dataclass(frozen=True)
class Figures:
    """What advice is drawn from; all of the training split."""

    task: str
    rows: int
    learned: int
    """Tokens that are learned."""
    lengths: dict[str, int]
    max_tokens: int
    openings: int
    """Different beginnings of questions."""
    commonest: int
    """Rows that begin as most do."""
    replies: int
    """Different answers."""
    answer: int
    """Characters of the middle answer."""
    alike: int | None
    """Rows beyond the first of those nearly the same; None where nobody looked."""


def figures_of(evidence: Evidence) -> Figures:
    """Count what advice is drawn from."""
    train = evidence.rows_of("train")
    facts = evidence.facts[train]
    openings, counts = np.unique(facts["opening"], return_counts=True)
    alike = None
    if evidence.near is not None:
        clusters = evidence.near.cluster[train]
        alike = int((clusters >= 0).sum()) - len(np.unique(clusters[clusters >= 0]))
    return Figures(
        evidence.task,
        len(train),
        int(facts["supervised"].sum()),
        percentiles(facts["tokens"]),
        evidence.max_tokens,
        len(openings),
        int(counts.max()) if len(counts) else 0,
        len(np.unique(facts["reply"][facts["reply"] != 0])),
        int(np.median(facts["answer"])) if len(train) else 0,
        alike,
    )


def how_many(figures: Figures) -> str | None:
    """Rows. Source: Zhou et al. 2023, arXiv:2305.11206 (1,000 chosen rows teach a style)."""
    rows = figures.rows
    if rows < 50:
        return (
            f"{rows} training rows are very few: enough to see that everything runs. Write examples into the prompt, "
            "or gather some hundred rows, before you judge the result."
        )
    if rows < 1000:
        return (
            f"{rows} training rows can teach a tone, a form or one narrow task, not a field. Good and different rows "
            "count more than many: read some with --look."
        )
    if rows > 100_000:
        return (
            f"{rows:,} training rows: try settings on a part first (limit.train=20000), and see on dev whether more "
            "rows still help."
        )
    return f"{rows:,} training rows are enough for a good start, if they are good: read some with --look."


def how_often(figures: Figures) -> str | None:
    """Epochs: few rows may be seen again, many need not be."""
    if figures.task != "supervised" or not figures.rows:
        return None
    epochs = 3 if figures.rows < 2000 else 2 if figures.rows < 20_000 else 1
    if epochs == 1:
        return f"{figures.learned:,} learned tokens: one epoch will do (learn.epochs=1); a second mostly repeats."
    return (
        f"{figures.learned:,} learned tokens: begin with {epochs} epochs (learn.epochs={epochs}), and stop where the "
        "loss on dev no longer falls."
    )


def how_diverse(figures: Figures) -> str | None:
    """Diversity, by how questions begin and how many rows are alike."""
    if figures.rows < 50:
        return None
    share = figures.commonest / figures.rows
    ways = "one way" if figures.openings == 1 else f"{figures.openings:,} different ways"
    said = f"questions begin in {ways}; {share:.0%} begin as most do"
    if figures.alike is not None and figures.alike > 0.05 * figures.rows:
        return (
            f"{figures.alike:,} of {figures.rows:,} training rows are nearly the same as another one: they count as "
            f"{figures.rows - figures.alike:,} rows (clean.near_duplicates=0.8 leaves them out)."
        )
    if share > 0.3 or figures.openings < 0.01 * figures.rows:
        return f"The rows are little diverse: {said}. Ask in other words too, or the model will heed only this form."
    return f"The rows are diverse enough: {said}."


def how_long(figures: Figures) -> str | None:
    """Length: a bound far above the longest row costs memory for nothing."""
    if not figures.lengths:
        return None
    longest, most = figures.lengths["p100"], figures.max_tokens
    fitting = -(-longest // MULTIPLE) * MULTIPLE
    if fitting <= most // 2:
        return (
            f"The longest row has {longest:,} tokens, {most:,} are allowed: length.max_tokens={fitting} needs less "
            "memory and loses nothing."
        )
    high = -(-figures.lengths["p99"] // MULTIPLE) * MULTIPLE
    if high <= longest // 2 and figures.rows >= 100:
        return (
            f"99 % of the rows have at most {figures.lengths['p99']:,} tokens, the longest {longest:,}: "
            f"length.max_tokens={high} with length.when_longer=drop needs much less memory and loses 1 % of the rows."
        )
    return None


def what_sort(figures: Figures) -> str | None:
    """Facts or classes. Source: Ovadia et al. 2023, arXiv:2312.05934 (facts are better looked up than trained)."""
    if figures.task != "supervised" or figures.rows < 50 or not figures.replies:
        return None
    if figures.replies <= FEW_ANSWERS and figures.rows >= 5 * figures.replies:
        return (
            f"There are only {figures.replies} different answers: this is a classification. form=classification trains "
            "a classifier, which is smaller, quicker, and gives probabilities."
        )
    if figures.answer <= 60 and figures.replies >= 0.7 * figures.rows:
        return (
            f"Answers are short (the middle one has {figures.answer} characters) and "
            f"{figures.replies / figures.rows:.0%} of them different: that looks like facts. A model learns a manner "
            "more easily than facts; a knowledge base it looks them up in may fit better."
        )
    return None


ADVICE: dict[str, Callable[[Figures], str | None]] = {
    "rows": how_many,
    "epochs": how_often,
    "diversity": how_diverse,
    "length": how_long,
    "kind": what_sort,
}
"""What each piece of advice is about."""


def advise(figures: Figures) -> dict[str, str]:
    """Give the advice that there is, by what it is about."""
    given = {about: rule(figures) for about, rule in ADVICE.items()}
    return {about: text for about, text in given.items() if text}
