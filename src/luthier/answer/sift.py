"""From what was found to what is read: surroundings, near-duplicates, order, budget."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from luthier.answer.passage import Passage
from luthier.answer.trace import Trace
from luthier.errors import DataError
from luthier.measure.words import words
from luthier.retrieve.ports import Chunk, Hit, Index

SHINGLE = 3
"""Words in a run that two near-duplicates share."""


def surround(index: Index, passages: Sequence[Passage], how: str, trace: Trace) -> list[Passage]:
    """Give each passage with what is read around it; passages that become one are one, and one whose document has gone
    or changed since it was found is none."""
    if how == "chunk":
        return list(passages)
    widened: dict[tuple[str, str, int], Passage] = {}
    for passage in passages:
        hit = Hit(passage.chunk, passage.score, passage.why, passage.base)
        chunk = index.parent(hit) if how == "parent" else _span_of(index.around(hit), index, passage)
        if chunk is None:
            continue
        wide = replace(passage, chunk=chunk)
        widened.setdefault(wide.key, wide)
    trace.add("surround", how=how, before=len(passages), after=len(widened))
    return list(widened.values())


def _span_of(chunks: Sequence[Chunk], index: Index, passage: Passage) -> Chunk | None:
    """Give neighbouring chunks as one, cut from the document itself, so that citations still point into it."""
    try:
        text = index.document(passage.chunk.document, passage.base).text
    except DataError:
        return None
    if not chunks or any(text[slice(*chunk.span)] != chunk.text for chunk in chunks):
        return None
    begin, end = min(chunk.span[0] for chunk in chunks), max(chunk.span[1] for chunk in chunks)
    return replace(chunks[0], text=text[begin:end], span=(begin, end))


def leave_out_near_duplicates(passages: Sequence[Passage], share: float, trace: Trace) -> list[Passage]:
    """Leave out passages which share at least so much of their word runs with a better one (of the smaller one's)."""
    kept: list[tuple[Passage, frozenset[tuple[str, ...]]]] = []
    for passage in passages:
        runs = _runs(passage.chunk.text)
        like = next((old for old, seen in kept if _overlap(runs, seen) >= share), None)
        if like is None:
            kept.append((passage, runs))
        else:
            trace.add("near_duplicate", left_out=passage.plain(), like=like.plain())
    return [passage for passage, _ in kept]


def _runs(text: str) -> frozenset[tuple[str, ...]]:
    found = words(text)
    return frozenset(tuple(found[place : place + SHINGLE]) for place in range(max(1, len(found) - SHINGLE + 1)))


def _overlap(first: frozenset[tuple[str, ...]], second: frozenset[tuple[str, ...]]) -> float:
    return len(first & second) / min(len(first), len(second))


def fit(
    passages: Sequence[Passage], most_tokens: int, count: Callable[[str], int], trace: Trace
) -> list[tuple[Passage, int]]:
    """Keep the best passages that fit into a budget of tokens, each with its tokens; the first that does not is cut."""
    kept: list[tuple[Passage, int]] = []
    left = most_tokens
    for passage in passages:
        tokens = count(passage.read)
        if tokens > left:
            shown = cut(passage.read, left, count)
            if shown:
                kept.append((replace(passage, shown=shown), count(shown)))
            break
        kept.append((passage, tokens))
        left -= tokens
    trace.add(
        "budget", most_tokens=most_tokens, used=sum(tokens for _, tokens in kept), kept=len(kept), of=len(passages)
    )
    return kept


def cut(text: str, most_tokens: int, count: Callable[[str], int]) -> str:
    """Give the longest beginning that fits, '' if less than a tenth of the text would."""
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if count(text[:middle]) <= most_tokens else (low, middle - 1)
    return text[:low] if low * 10 >= len(text) else ""


def to_edges(passages: Sequence[tuple[Passage, int]]) -> list[Passage]:
    """Put the best at both ends: what stands in the middle of a long prompt is used least.

    Each next one goes to the side which holds fewer tokens so far, so that the ends are even in what a generator counts
    in. Source: Liu et al. 2023, arXiv:2307.03172.
    """
    front: list[Passage] = []
    back: list[Passage] = []
    front_tokens = back_tokens = 0
    for passage, tokens in passages:
        if front_tokens <= back_tokens:
            front.append(passage)
            front_tokens += tokens
        else:
            back.append(passage)
            back_tokens += tokens
    return [*front, *reversed(back)]
