"""Findings about many rows together: duplicates, contradictions, labels, splits, lengths, the tokenizer."""

from functools import partial

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import SPLITS, Example
from luthier.prepare.facts import Flag
from luthier.prepare.lint.evidence import Evidence, Rows
from luthier.prepare.lint.finding import Hits, Say, by_example, by_length, hits, places
from luthier.prepare.lint.row_rules import answer

SHARE_OF_ONE_ANSWER = 0.1
ROWS_OF_ONE_ANSWER = 20
FEW_ANSWERS = 20
"""No more different answers than these, in at least five times as many rows: they are classes."""
LARGEST_TO_SMALLEST = 20
"""From here on classes count as badly balanced, and from ROWS_OF_A_CLASS on as too small to be learned."""
ROWS_OF_A_CLASS = 10
ROWS_OF_A_SPLIT = 10
LONG_TAIL = 8
"""The longest hundredth is so many times as long as the median."""
EXPECTED_TOKENS = {"CJK": 0.75, "other": 0.28}
"""Tokens per character that a tokenizer made for the language needs at most: Qwen's documentation says a token is 1.5
to 1.8 Chinese characters, or 3 to 4 English ones. Twice as many is a finding."""
CHARACTERS_TO_TELL = 1000
SHARE_TO_TELL = 0.1
"""Fewer rows than these say nothing of their script: of a Chinese set, they are lists of names, formulas and code."""


def recalled(evidence: Evidence) -> Hits | None:
    """Test rows under a tag that says they are meant to be recalled."""
    test = evidence.rows_of("test")
    rows = test[_has_tag(evidence, test)]
    tags = sorted({evidence.tags[int(tag)] for tag in evidence.facts["tag"][rows]})
    return hits(evidence, rows, len(test), f"tag {', '.join(tags)}", note=f"declared by their tag ({', '.join(tags)})")


def _has_tag(evidence: Evidence, rows: Rows) -> npt.NDArray[np.bool_]:
    wanted = [number for number, tag in enumerate(evidence.tags) if tag and tag in evidence.recall_tags]
    held = (evidence.facts["flags"][rows] & int(Flag.HELD)) != 0
    found: npt.NDArray[np.bool_] = np.isin(evidence.facts["tag"][rows], wanted) | held
    return found


def across_splits(evidence: Evidence) -> Hits | None:
    """Rows of dev and test that ask what a training row asks."""
    facts, train, unseen = evidence.facts, evidence.rows_of("train"), _unseen(evidence)
    asked = facts["asked"]
    is_known = np.isin(asked[unseen], asked[train]) | np.isin(facts["id"][unseen], facts["id"][train])
    return hits(evidence, unseen[is_known], len(unseen), "the same question is in train")


def near_across_splits(evidence: Evidence) -> Hits | None:
    """Rows of dev and test that are nearly the same as a training row, but not asked in the same words."""
    if evidence.near is None:
        return None
    facts, train, unseen = evidence.facts, evidence.rows_of("train"), _unseen(evidence)
    cluster = evidence.near.cluster
    known = np.unique(cluster[train][cluster[train] >= 0])
    is_near = np.isin(cluster[unseen], known) & ~np.isin(facts["asked"][unseen], facts["asked"][train])
    return hits(evidence, unseen[is_near], len(unseen), partial(_alike, among=train))


def _unseen(evidence: Evidence) -> Rows:
    rows = np.concatenate([evidence.rows_of("dev"), evidence.rows_of("test")])
    return rows[~_has_tag(evidence, rows)]


def exact(evidence: Evidence) -> Hits | None:
    """Rows with the content of an earlier one."""
    again = np.flatnonzero(evidence.facts["flags"] & int(Flag.DUPLICATE))
    is_dropped = evidence.spec.clean.exact_duplicates == "drop"
    note = "left out: each content is kept once" if is_dropped else "kept, and learned as often"
    what = "the same content as another row"
    return hits(evidence, again, evidence.rows_in_all, what, note=note, is_settled=is_dropped)


def near(evidence: Evidence) -> Hits | None:
    """Rows beyond the first of those that are nearly the same, exact ones not counted."""
    told = evidence.dropped.get("near duplicate")
    if told is not None and told.count:
        note = f"left out: alike to {evidence.spec.clean.near_duplicates:.0%} or more"
        return Hits(told.count, evidence.rows_in_all, told.places, note=note, is_settled=True)
    if evidence.near is None:
        return None
    train = evidence.rows_of("train")
    _, first_of_id = np.unique(evidence.facts["id"][train], return_index=True)
    rows = train[np.sort(first_of_id)]
    rows = rows[evidence.near.cluster[rows] >= 0]
    _, first = np.unique(evidence.near.cluster[rows], return_index=True)
    again = np.delete(rows, first)
    return hits(evidence, again, len(train), partial(_alike, among=rows))


def _alike(evidence: Evidence, row: int, among: Rows) -> str:
    """Name the first of some rows that is nearly the same as one."""
    if evidence.near is None:
        return ""
    first = among[evidence.near.cluster[among] == evidence.near.cluster[row]][0]
    return f"nearly the same as {evidence.place(int(first))}"


def conflicting(evidence: Evidence) -> Hits | None:
    """Training rows that ask the same and answer otherwise."""
    if evidence.task not in ("supervised", "classification"):
        return None  # several pairs, or judgements, of one question are what these tasks are about
    facts, train = evidence.facts, evidence.rows_of("train")
    answers = facts["reply" if evidence.task == "supervised" else "label"][train].astype(np.int64)
    usable = answers != 0 if evidence.task == "supervised" else answers >= 0
    train, answers = train[usable], answers[usable]
    _, question, rows_of_question = np.unique(facts["asked"][train], return_inverse=True, return_counts=True)
    pairs = np.unique(np.stack([question, answers], axis=1), axis=0) if len(train) else np.zeros((0, 2), np.int64)
    different = np.bincount(pairs[:, 0], minlength=len(rows_of_question)) > 1
    chosen = different[question]
    rows = train[chosen][np.argsort(question[chosen], kind="stable")]
    count = int(different.sum())
    note = f"{count:,} question{'s have' if count > 1 else ' has'} more than one answer"
    return hits(evidence, rows, len(train), _class_of(evidence), note=note)


def one_answer(evidence: Evidence) -> Hits | None:
    """Training rows with the commonest answer, where it is common though answers are many."""
    train = evidence.rows_of("train")
    replies = evidence.facts["reply"][train]
    values, counts = np.unique(replies[replies != 0], return_counts=True)
    if evidence.task != "supervised" or len(values) <= FEW_ANSWERS:
        return None
    top = int(counts.argmax())
    if counts[top] < max(ROWS_OF_ONE_ANSWER, SHARE_OF_ONE_ANSWER * len(train)):
        return None
    return hits(evidence, train[replies == values[top]], len(train), by_example(answer))


def imbalance(evidence: Evidence) -> Hits | None:
    """Classes of which one has far more rows than another, or too few to be learned."""
    train = evidence.rows_of("train")
    values, counts = classes(evidence)
    if len(values) < 2:
        return None
    order = np.argsort(counts, kind="stable")
    smallest, largest = int(counts[order[0]]), int(counts[order[-1]])
    small = counts < max(ROWS_OF_A_CLASS, largest / LARGEST_TO_SMALLEST)
    if not small.any() or (largest < LARGEST_TO_SMALLEST and largest < 2 * smallest):
        return None
    column = evidence.facts["label" if evidence.task == "classification" else "reply"][train]
    rows = [int(train[np.flatnonzero(column == values[place])[0]]) for place in order if small[place]]
    shown = places(evidence, rows, _class_of(evidence))
    note = f"the largest class has {largest:,} training rows, the smallest {smallest:,}"
    return Hits(int(small.sum()), len(values), shown, unit="classes", note=note)


def _class_of(evidence: Evidence) -> Say:
    return by_example(_class if evidence.task == "classification" else answer)


def _class(example: Example) -> str:
    return f"class {example.label!r}"


def classes(evidence: Evidence) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give the classes of the training rows and how many rows each has; of chats, few different answers are classes."""
    train = evidence.rows_of("train")
    if evidence.task == "classification":
        labels = evidence.facts["label"][train]
        return np.unique(labels[labels >= 0].astype(np.int64), return_counts=True)
    replies = evidence.facts["reply"][train].astype(np.int64)
    values, counts = np.unique(replies[replies != 0], return_counts=True)
    is_classes = evidence.task == "supervised" and len(values) <= FEW_ANSWERS and len(train) >= 5 * len(values)
    return (values, counts) if is_classes else (values[:0], counts[:0])


def thin_splits(evidence: Evidence) -> Hits | None:
    """Splits that should hold something and hold hardly anything."""
    shares = {"train": evidence.spec.split.train, "dev": evidence.spec.split.dev, "test": evidence.spec.split.test}
    counts = {name: len(evidence.rows_of(name)) for name in SPLITS if shares[name]}
    thin = {name: count for name, count in counts.items() if count < ROWS_OF_A_SPLIT}
    note = ", ".join(f"{name} has {count} rows" for name, count in thin.items())
    return Hits(len(thin), len(counts), unit="splits", note=note) if thin else None


def long_tail(evidence: Evidence) -> Hits | None:
    """The longest hundredth of the training rows, where it is many times as long as the middle one."""
    train = evidence.rows_of("train")
    lengths = evidence.facts["tokens"][train]
    if len(train) < 100:
        return None
    middle, high = np.percentile(lengths, (50, 99), method="inverted_cdf")
    if high < LONG_TAIL * middle:
        return None
    rows = train[lengths >= high]
    rows = rows[np.argsort(-evidence.facts["tokens"][rows], kind="stable")]
    share = float(evidence.facts["tokens"][rows].sum() / lengths.sum())
    note = f"half of the rows have at most {middle:,} tokens, these {high:,} or more, and {share:.0%} of all tokens"
    return hits(evidence, rows, len(train), by_length, note=note)


def tokens_per_character(evidence: Evidence) -> dict[str, float]:
    """Give tokens per character of what is learned (or read, where nothing is), by script; only where enough stands."""
    taken = evidence.taken
    facts = evidence.facts[taken]
    is_cjk = (facts["flags"] & int(Flag.CJK)) != 0
    found: dict[str, float] = {}
    for name, chosen in (("CJK", is_cjk), ("other", ~is_cjk)):
        rows = facts[chosen & ((facts["flags"] & int(Flag.TRUNCATED)) == 0)]
        rows = rows if evidence.task == "classification" else rows[(rows["supervised"] > 0) & (rows["answer"] > 0)]
        # each answer ends with a stop token, and some templates put marks of thinking before it; a text that is
        # classified stands in no template
        ends = len(rows) * evidence.markers * (2 if evidence.task == "preference" else 1)
        count, column = ("tokens", "characters") if evidence.task == "classification" else ("supervised", "answer")
        characters = int(rows[column].sum())
        if characters >= CHARACTERS_TO_TELL and len(rows) >= SHARE_TO_TELL * len(taken):
            found[name] = (int(rows[count].sum()) - ends) / characters
    return found


def badly_split(evidence: Evidence) -> Hits | None:
    """Rows of a script for which the tokenizer needs twice the tokens it should."""
    bad = {name: value for name, value in tokens_per_character(evidence).items() if value > 2 * EXPECTED_TOKENS[name]}
    taken = evidence.taken
    is_cjk = (evidence.facts["flags"][taken] & int(Flag.CJK)) != 0
    chosen = (is_cjk & ("CJK" in bad)) | (~is_cjk & ("other" in bad))
    note = "; ".join(
        f"{'Chinese, Japanese or Korean' if name == 'CJK' else 'other'} text takes {value:.2f} tokens a character, "
        f"{value / EXPECTED_TOKENS[name]:.1f} times what a tokenizer made for it needs: as much more time and memory"
        for name, value in bad.items()
    )
    return hits(evidence, taken[chosen], len(taken), by_length, note=note) if bad else None
