"""How well chunks are found, on data with judgements: words, meaning and both, with paired intervals.

    python bench/retrieve_quality.py [scifact] [cmrc] [legal] [covid] [--cache FOLDER] [--embedder NAME] [--seconds N]

Each set is put through the knowledge base that `luthier index` fills (catalogue, store, search), a passage a chunk, but
for covid, whose articles are cut by `luthier index` itself. `--cache` keeps vectors, which is nearly all of the time;
with `--seconds` it ends after so long with status 3, and goes on from there when it is called again. The last line is
JSON.
"""

import argparse
import gzip
import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from luthier.engine.embed import open_embedder
from luthier.engine.ports import Embedder
from luthier.event import Tell, hush
from luthier.index.build import open_generation
from luthier.index.parsed import Block, Parsed
from luthier.index.ready import Cutter
from luthier.index.spec import IndexSpec
from luthier.measure.interval import Comparison, compare
from luthier.measure.retrieval import Judgements, measure_rankings
from luthier.retrieve.batch import KINDS, Draft, NewDocument
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase
from luthier.retrieve.place import Current, flip
from luthier.retrieve.writer import Writer

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


SLICE = 200
"""Texts whose vectors are one file."""
FIGURES: list[dict[str, Any]] = []
"""All that was measured, for the last line."""


@dataclass(frozen=True)
class Set:
    """Passages by name, questions, and what is relevant to each."""

    passages: dict[str, str]
    questions: list[str]
    relevant: list[Judgements]


class Cached:
    """An embedder whose vectors are kept in a folder, a slice of texts in a file."""

    def __init__(self, inner: Embedder, folder: Path | None, seconds: float) -> None:
        self._inner, self._folder, self._end = inner, folder, time.monotonic() + seconds
        self.name, self.width, self.most_tokens = inner.name, inner.width, inner.most_tokens
        self.count_tokens = inner.count_tokens

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Embed what is not in the cache."""
        slices = [self._slice(texts[begin : begin + SLICE], role, tell) for begin in range(0, len(texts), SLICE)]
        return np.concatenate(slices) if slices else np.zeros((0, self.width), np.float32)

    def _slice(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        if self._folder is None:
            return self._inner.embed(texts, role, tell)
        self._folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(json.dumps([self.name, role, *texts]).encode()).hexdigest()[:24]
        path = self._folder / f"{key}.npy"
        if not path.exists():
            if time.monotonic() > self._end:
                raise SystemExit(3)
            np.save(path, self._inner.embed(texts, role, tell))
        vectors: npt.NDArray[np.float32] = np.load(path)
        return vectors


def scifact() -> Set:
    """Claims, and the abstracts that bear on them (BEIR)."""
    folder = DATA / "scifact"
    with gzip.open(folder / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    passages = {str(row["_id"]): f"{row.get('title', '')} {row['text']}".strip() for row in rows}
    relevant: dict[str, dict[str, float]] = {}
    for line in (folder / "qrels.test.tsv").read_text().splitlines()[1:]:
        question, passage, grade = line.split("\t")
        relevant.setdefault(question, {})[passage] = float(grade)
    asked = [json.loads(line) for line in (folder / "queries.test.jsonl").read_text().splitlines()]
    asked = [row for row in asked if str(row["_id"]) in relevant]
    return Set(passages, [row["text"] for row in asked], [relevant[str(row["_id"])] for row in asked])


def cmrc() -> Set:
    """Chinese questions, and the paragraph each was asked of."""
    with gzip.open(DATA / "cmrc2018" / "cmrc2018_dev.json.gz", "rt", encoding="utf-8") as file:
        paragraphs = [part for row in json.load(file)["data"] for part in row["paragraphs"]]
    asked = [(qa["question"], str(n)) for n, part in enumerate(paragraphs) for qa in part["qas"]]
    passages = {str(n): part["context"] for n, part in enumerate(paragraphs)}
    return Set(passages, [question for question, _ in asked], [{name: 1.0} for _, name in asked])


def legal() -> Set:
    """Chinese consultations, and the articles of law that were cited for them."""
    with gzip.open(DATA / "legal_zh" / "zixun_gpt4.json.gz", "rt", encoding="utf-8") as file:
        rows = json.load(file)
    names = {law: str(n) for n, law in enumerate(dict.fromkeys(law for row in rows for law in row["laws"]))}
    return Set(
        {name: law for law, name in names.items()},
        [row["query"] for row in rows],
        [{names[law]: 1.0 for law in row["laws"]} for row in rows],
    )


def covid() -> tuple[dict[str, str], list[tuple[str, str, tuple[int, int]]]]:
    """Long articles, and questions with the span of their answer."""
    with gzip.open(DATA / "covid_qa" / "200423_covidQA.json.gz", "rt", encoding="utf-8") as file:
        parts = [part for row in json.load(file)["data"] for part in row["paragraphs"]]
    articles = {f"article-{n}": part["context"] for n, part in enumerate(parts)}
    asked = []
    for n, part in enumerate(parts):
        for qa in part["qas"]:
            begin = qa["answers"][0]["answer_start"]
            asked.append((qa["question"], f"article-{n}", (begin, begin + len(qa["answers"][0]["text"]))))
    return articles, asked


def filled(folder: Path, documents: Sequence[NewDocument], embedder: Cached | None) -> KnowledgeBase:
    """Fill a knowledge base."""
    width = embedder.width if embedder else 0
    current = Current("one", "", embedder.name if embedder else "", "", width, "sqlite")
    catalogue, stores = open_generation(folder, current)
    writer = Writer(catalogue, stores)
    drafts = [draft for document in documents for draft in document.drafts if draft.kind in KINDS]
    texts = {draft.content: draft.searched for draft in drafts}
    vectors: dict[bytes, Any] = {}
    if embedder:
        vectors = dict(zip(texts, embedder.embed(list(texts.values()), "passage", hush), strict=True))
    for begin in range(0, len(documents), 500):
        writer.add(documents[begin : begin + 500], vectors)
    flip(folder, current)
    return KnowledgeBase(folder, embedder, hush)


def judge(
    name: str,
    base: KnowledgeBase,
    questions: Sequence[str],
    relevant: Sequence[Judgements],
    hows: dict[str, SearchSpec],
) -> None:
    """Print each way's figures, and the intervals of its gains over those that came first: words, and meaning."""
    earlier: dict[str, npt.NDArray[np.float64]] = {}
    for way, how in hows.items():
        began = time.perf_counter()
        found = [base.search(question, how) for question in questions]
        seconds = sum(one.seconds["search"] for one in found) / len(found)
        rankings = [[hit.chunk.document for hit in one.hits] for one in found]
        figures = measure_rankings(rankings, relevant)
        line = " ".join(f"{metric} {np.nanmean(values):.4f}" for metric, values in figures.items())
        scores = np.stack([figures["ndcg@10"], np.ones(len(found))], axis=1)
        gains = {over: gain(before, scores) for over, before in earlier.items()}
        said = "".join(
            f" | over {over} {one.gain:+.4f} [{one.low:+.4f}, {one.high:+.4f}]" for over, one in gains.items()
        )
        if way in ("bm25", "dense"):
            earlier[way] = scores
        plain = {over: [one.gain, one.low, one.high] for over, one in gains.items()}
        means = {metric: float(np.nanmean(values)) for metric, values in figures.items()}
        FIGURES.append({"set": name, "way": way, "questions": len(found), **means, "gains": plain})
        taken = f"{1000 * seconds:.1f} ms, {time.perf_counter() - began:.0f} s"
        print(f"{name:8} {way:16} {line}{said} | {taken}", flush=True)


def gain(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> Comparison:
    """Give a gain in nDCG@10 with its interval, question by question."""
    mean = lambda sums: sums[..., 0] / sums[..., 1]  # noqa: E731
    groups = [str(n) for n in range(len(before))]
    return compare(before, after, mean, higher_is_better=True, groups=groups, resamples=2000, seed=0)


def ways(has_embedder: bool) -> dict[str, SearchSpec]:
    """The ways that are compared."""
    found = {"bm25": SearchSpec(way="bm25")}
    if has_embedder:
        found["dense"] = SearchSpec(way="dense")
        found["hybrid rrf"] = SearchSpec(fusion="rrf")
        for share in (0.3, 0.4, 0.5, 0.6, 0.7):
            found[f"hybrid {share}"] = SearchSpec(fusion="weighted", dense_weight=share)
    return found


def passages(name: str, made: Set, embedder: Cached | None) -> None:
    """A set whose passages are chunks."""
    documents = [
        NewDocument(key, "", key, "", text, "", {}, [Draft("chunk", text, (0, len(text)))])
        for key, text in made.passages.items()
    ]
    with TemporaryDirectory() as folder:
        base = filled(Path(folder), documents, embedder)
        judge(name, base, made.questions, made.relevant, ways(embedder is not None))
        base.close()


def articles(embedder: Cached | None) -> None:
    """covid: whole articles cut as `luthier index` does; a chunk is right that holds the middle of the answer."""
    texts, asked = covid()
    cutter = Cutter(IndexSpec(), embedder)
    documents = []
    for name, text in texts.items():
        blocks = [Block("text", part) for part in text.split("\n\n") if part.strip()]
        documents.append(cutter.document(Parsed(name, blocks), name, "", name, {}))
    with TemporaryDirectory() as folder:
        base = filled(Path(folder), documents, embedder)
        plain = {"bm25": SearchSpec(way="bm25")}
        if embedder:
            plain |= {"dense": SearchSpec(way="dense"), "hybrid": SearchSpec()}
        paths: dict[str, dict[str, Any]] = {"plain": {}}
        paths |= {f"two_step {n}": {"path": "two_step", "documents": n} for n in (10, 15, 18)}
        for way, how in plain.items():
            all_scored = 0.0
            for path, steps in paths.items():
                found = [base.search(question, how.model_copy(update=steps)) for question, _, _ in asked]
                right = [
                    any(
                        hit.chunk.document == name and hit.chunk.span[0] <= sum(span) // 2 < hit.chunk.span[1]
                        for hit in one.hits
                    )
                    for one, (_, name, span) in zip(found, asked, strict=True)
                ]
                looked_at = float(np.mean([one.scored for one in found]))
                all_scored = all_scored or looked_at
                share = looked_at / all_scored
                scored = f"scored {share:.0%} of what plain search does, {found[0].chunks} chunks"
                print(f"covid    {way:8} {path:12} recall@10 {np.mean(right):.4f} {scored}", flush=True)
                facts = {"set": "covid", "way": f"{way} {path}", "questions": len(asked), "scored": float(share)}
                FIGURES.append({**facts, "recall@10": float(np.mean(right))})
        base.close()


SETS = {"scifact": scifact, "cmrc": cmrc, "legal": legal}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=[*SETS, "covid"])
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--embedder", default="")
    parser.add_argument("--seconds", type=float, default=float("inf"))
    given = parser.parse_args()
    embedder = Cached(open_embedder(given.embedder), given.cache, given.seconds) if given.embedder else None
    for name in given.sets:
        if name == "covid":
            articles(embedder)
        else:
            passages(name, SETS[name](), embedder)
    print(json.dumps({"bench": "retrieve_quality", "embedder": embedder.name if embedder else "", "results": FIGURES}))


if __name__ == "__main__":
    main()
