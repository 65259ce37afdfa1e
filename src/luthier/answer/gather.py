"""Search for every query, join what was found, and go on in rounds while there is something to be had."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from luthier.answer.passage import Passage
from luthier.answer.trace import Trace
from luthier.measure.support import content
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Hit, Index, Question

RRF = 60
"""Cormack et al. 2009: a rank counts 1 / (60 + rank)."""

Draft = Callable[[Sequence[Passage]], tuple[str, bool]]
"""Gives a draft answer from passages, and whether sources carry it whole."""


def gather(index: Index, queries: Sequence[Question], how: SearchSpec, trace: Trace) -> list[Passage]:
    """Give what the queries found, best first; several rankings are joined by reciprocal ranks."""
    rankings = [_search(index, query, how, trace) for query in queries]
    if len(rankings) == 1:
        return [_passage(hit) for hit in rankings[0]]
    scores: dict[tuple[str, int], float] = {}
    kept: dict[tuple[str, int], Hit] = {}
    for hits in rankings:
        for rank, hit in enumerate(hits, 1):
            key = (hit.base, hit.chunk.id)
            scores[key] = scores.get(key, 0.0) + 1 / (RRF + rank)
            kept.setdefault(key, hit)
    order = sorted(scores, key=lambda key: -scores[key])[: how.top]
    found = [replace(_passage(kept[key]), score=scores[key]) for key in order]
    trace.add("join", rankings=len(rankings), found=[passage.plain() for passage in found])
    return found


def gather_in_rounds(
    index: Index, queries: Sequence[Question], how: SearchSpec, rounds: int, draft: Draft, trace: Trace
) -> list[Passage]:
    """Search, draft an answer, and search again with what the draft says, as long as that helps.

    It stops when the draft is carried and all the question asks for is spoken of, when a round brings nothing new among
    the first, or after the last round. Source: Shao et al. 2023, arXiv:2305.15294 (iterative retrieval-generation).
    """
    question = queries[0].text
    found = gather(index, queries, how, trace)
    for number in range(2, rounds + 1):
        said, is_carried = draft(found)
        missing = content(question) - content(" ".join(passage.chunk.text for passage in found))
        if is_carried and not missing:
            trace.add("stop", round=number - 1, why="the draft is carried and everything asked for is spoken of")
            break
        query = Question(f"{question} {said}".strip())
        trace.add("query", way="round", round=number, text=query.text, passage=None, missing=sorted(missing))
        merged = _merge(found, [_passage(hit) for hit in _search(index, query, how, trace)], how.top)
        if {passage.key for passage in merged} == {passage.key for passage in found}:
            trace.add("stop", round=number, why="the round brought nothing new")
            break
        found = merged
    else:
        if rounds > 1:
            trace.add("stop", round=rounds, why="it was the last round")
    return found


def _merge(first: Sequence[Passage], second: Sequence[Passage], top: int) -> list[Passage]:
    scores: dict[tuple[str, str, int], float] = {}
    for ranking in (first, second):
        for rank, passage in enumerate(ranking, 1):
            scores[passage.key] = scores.get(passage.key, 0.0) + 1 / (RRF + rank)
    kept = {passage.key: passage for passage in (*second, *first)}
    order = sorted(scores, key=lambda key: -scores[key])[:top]
    return [replace(kept[key], score=scores[key]) for key in order]


def _search(index: Index, query: Question, how: SearchSpec, trace: Trace) -> Sequence[Hit]:
    facts = {"text": query.text, "passage": query.passage, "how": how.model_dump(mode="json")}
    with trace.timed("search", **facts) as entry:
        found = index.search(query, how)
        entry["base"] = index.name
        entry["revision"] = found.revision
        entry["scored"] = found.scored
        entry["chunks"] = found.chunks
        entry["documents"] = list(found.documents)
        if found.routes:
            entry["routes"] = {name: round(fit, 4) for name, fit in found.routes.items()}
        entry["found"] = [_passage(hit).plain() for hit in found.hits]
    return found.hits


def _passage(hit: Hit) -> Passage:
    return Passage(hit.chunk, hit.score, hit.base, hit.why)
