"""The same passages, questions and vectors through this knowledge base, LlamaIndex and Haystack: how well, how fast.

    python bench/retrieve_peers.py [scifact] [cmrc] --peers PYTHON [--embedder minilm] [--cache FOLDER] [--seconds N]

PYTHON is that of an environment with `llama-index-core llama-index-retrievers-bm25 haystack-ai`. Each system has a
process of its own, takes the vectors as they are (so no embedder is timed), keeps everything on disk as it does by
default, is opened anew from there, and answers by words, by meaning and by both, ten hits each. The last line is JSON.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

TOP = 10
WAYS = ("bm25", "dense", "hybrid")
Search = Callable[[str, Any], list[str]]
"""A question and its vector to the names of passages, best first."""


class Given:
    """What every system gets: names, texts and vectors of passages, questions and their vectors."""

    def __init__(self, folder: Path) -> None:
        plain = json.loads((folder / "given.json").read_text(encoding="utf-8"))
        self.names, self.texts, self.questions = plain["names"], plain["texts"], plain["questions"]
        with np.load(folder / "vectors.npz") as held:
            self.passages, self.asked = held["passages"], held["asked"]


def luthier(given: Given, place: Path) -> tuple[Callable[[], None], Callable[[], dict[str, Search]]]:
    """This project: documents of one chunk in the embedded store."""
    from luthier.event import hush
    from luthier.index.build import open_generation
    from luthier.retrieve.batch import Draft, NewDocument
    from luthier.retrieve.how import SearchSpec
    from luthier.retrieve.opening import KnowledgeBase
    from luthier.retrieve.place import Current, flip
    from luthier.retrieve.writer import Writer

    known = dict(zip(given.questions, given.asked, strict=True))
    width = given.passages.shape[1]

    class Known:
        name, most_tokens = "given", 512

        def __init__(self) -> None:
            self.width = width

        def count_tokens(self, texts: Sequence[str]) -> list[int]:
            return [0 for _ in texts]

        def embed(self, texts: Sequence[str], role: str, tell: Any) -> Any:
            return np.stack([known[text] for text in texts])

    def keep() -> None:
        current = Current("one", "", "given", "given", width, "sqlite")
        catalogue, stores = open_generation(place, current)
        writer = Writer(catalogue, stores)
        for begin in range(0, len(given.names), 500):
            drafts = [Draft("chunk", text, (0, len(text))) for text in given.texts[begin : begin + 500]]
            vectors = {draft.content: vector for draft, vector in zip(drafts, given.passages[begin:], strict=False)}
            names = given.names[begin : begin + 500]
            writer.add(
                [NewDocument(n, "", n, "", d.text, "", {}, [d]) for n, d in zip(names, drafts, strict=True)], vectors
            )
        flip(place, current)

    def open_again() -> dict[str, Search]:
        base = KnowledgeBase(place, Known(), hush)

        def way(name: Any) -> Search:
            how = SearchSpec(way=name, top=TOP)
            return lambda question, vector: [hit.chunk.document for hit in base.search(question, how).hits]

        return {name: way(name) for name in WAYS}

    return keep, open_again


def llamaindex(given: Given, place: Path) -> tuple[Callable[[], None], Callable[[], dict[str, Search]]]:
    """LlamaIndex: its default vector store, its BM25 retriever, its fusion by reciprocal ranks."""
    from llama_index.core import MockEmbedding, StorageContext, VectorStoreIndex, load_index_from_storage
    from llama_index.core.retrievers import QueryFusionRetriever
    from llama_index.core.schema import QueryBundle, TextNode
    from llama_index.retrievers.bm25 import BM25Retriever

    silent = MockEmbedding(embed_dim=given.passages.shape[1])

    def keep() -> None:
        nodes = [
            TextNode(id_=name, text=text, embedding=vector.tolist())
            for name, text, vector in zip(given.names, given.texts, given.passages, strict=True)
        ]
        VectorStoreIndex(nodes, embed_model=silent).storage_context.persist(str(place / "dense"))
        BM25Retriever.from_defaults(nodes=nodes, similarity_top_k=TOP).persist(str(place / "bm25"))

    def open_again() -> dict[str, Search]:
        held = StorageContext.from_defaults(persist_dir=str(place / "dense"))
        dense = load_index_from_storage(held, embed_model=silent).as_retriever(similarity_top_k=TOP)
        words = BM25Retriever.from_persist_dir(str(place / "bm25"))
        both = QueryFusionRetriever(
            [dense, words],
            num_queries=1,
            mode="reciprocal_rerank",
            similarity_top_k=TOP,
            use_async=False,
            llm=MockLLM(),
        )

        def way(retriever: Any) -> Search:
            return lambda question, vector: [
                one.node.node_id for one in retriever.retrieve(QueryBundle(question, embedding=vector.tolist()))
            ]

        return {"bm25": way(words), "dense": way(dense), "hybrid": way(both)}

    from llama_index.core.llms import MockLLM

    return keep, open_again


def haystack(given: Given, place: Path) -> tuple[Callable[[], None], Callable[[], dict[str, Search]]]:
    """Haystack: its document store with BM25 and cosines, its joiner by reciprocal ranks."""
    from haystack import Document
    from haystack.components.joiners import DocumentJoiner
    from haystack.components.retrievers.in_memory import InMemoryBM25Retriever, InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    path = str(place / "store.json")

    def keep() -> None:
        store = InMemoryDocumentStore(embedding_similarity_function="cosine")
        store.write_documents(
            [
                Document(id=name, content=text, embedding=vector.tolist())
                for name, text, vector in zip(given.names, given.texts, given.passages, strict=True)
            ]
        )
        store.save_to_disk(path)

    def open_again() -> dict[str, Search]:
        store = InMemoryDocumentStore.load_from_disk(path)
        words, dense = InMemoryBM25Retriever(store, top_k=TOP), InMemoryEmbeddingRetriever(store, top_k=TOP)
        join = DocumentJoiner(join_mode="reciprocal_rank_fusion", top_k=TOP)

        def by_words(question: str, vector: Any) -> list[Any]:
            return list(words.run(query=question)["documents"])

        def by_meaning(question: str, vector: Any) -> list[Any]:
            return list(dense.run(query_embedding=vector.tolist())["documents"])

        def by_both(question: str, vector: Any) -> list[Any]:
            return list(join.run(documents=[by_words(question, vector), by_meaning(question, vector)])["documents"])

        return {
            "bm25": lambda question, vector: [one.id for one in by_words(question, vector)],
            "dense": lambda question, vector: [one.id for one in by_meaning(question, vector)],
            "hybrid": lambda question, vector: [one.id for one in by_both(question, vector)],
        }

    return keep, open_again


SYSTEMS = {"luthier": luthier, "llamaindex": llamaindex, "haystack": haystack}


def work(who: str, folder: Path) -> None:
    """Keep, open again, ask: in a process of its own."""
    given = Given(folder)
    place = folder / who
    place.mkdir()
    keep, open_again = SYSTEMS[who](given, place)
    began = time.perf_counter()
    keep()
    kept = time.perf_counter() - began
    began = time.perf_counter()
    searches = open_again()
    for search in searches.values():
        search(given.questions[0], given.asked[0])
    reopened = time.perf_counter() - began
    figures: dict[str, Any] = {"keep_seconds": kept, "open_seconds": reopened, "rankings": {}, "ms": {}}
    for way, search in searches.items():
        rankings, taken = [], []
        for question, vector in zip(given.questions, given.asked, strict=True):
            began = time.perf_counter()
            rankings.append(search(question, vector))
            taken.append(1000 * (time.perf_counter() - began))
        figures["rankings"][way], figures["ms"][way] = rankings, float(np.median(taken))
    (folder / f"{who}.json").write_text(json.dumps(figures), encoding="utf-8")


def compare_systems(name: str, peers: str, embedder: Any, questions: int) -> list[dict[str, Any]]:
    """Give each system's figures on one set."""
    import retrieve_quality as quality  # beside this file

    from luthier.event import hush
    from luthier.measure.retrieval import measure_rankings

    made = quality.SETS[name]()
    asked = made.questions[:questions]
    found = []
    with TemporaryDirectory() as place:
        folder = Path(place)
        plain = {"names": list(made.passages), "texts": list(made.passages.values()), "questions": asked}
        (folder / "given.json").write_text(json.dumps(plain), encoding="utf-8")
        passages = embedder.embed(plain["texts"], "passage", hush)
        vectors = np.concatenate([embedder.embed([question], "query", hush) for question in asked])
        np.savez(folder / "vectors.npz", passages=passages, asked=vectors)
        for who in SYSTEMS:
            python = sys.executable if who == "luthier" else peers
            done = subprocess.run([python, __file__, "--who", who, "--folder", place], check=False)
            if done.returncode:
                print(f"{name:8} {who:11} could not be run: status {done.returncode}", flush=True)
                continue
            figures = json.loads((folder / f"{who}.json").read_text(encoding="utf-8"))
            for way, rankings in figures["rankings"].items():
                ndcg = float(np.nanmean(measure_rankings(rankings, made.relevant[: len(asked)])["ndcg@10"]))
                row = {"set": name, "who": who, "way": way, "ndcg@10": ndcg, "ms": figures["ms"][way]}
                row |= {key: figures[key] for key in ("keep_seconds", "open_seconds")}
                row["passages_per_second"] = len(made.passages) / figures["keep_seconds"]
                found.append(row)
                kept = f"kept {row['passages_per_second']:.0f} passages/s, opened in {row['open_seconds']:.1f} s"
                print(f"{name:8} {who:11} {way:7} nDCG@10 {ndcg:.4f} {row['ms']:8.1f} ms | {kept}", flush=True)
    return found


def main() -> None:
    """Compare on the sets asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("sets", nargs="*", default=["scifact", "cmrc"])
    parser.add_argument("--peers")
    parser.add_argument("--embedder", default="minilm")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--who", choices=list(SYSTEMS))
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.who:
        work(given.who, given.folder)
        return
    import retrieve_quality as quality

    from luthier.engine.embed import open_embedder

    embedder = quality.Cached(open_embedder(given.embedder), given.cache, given.seconds)
    found = [row for name in given.sets for row in compare_systems(name, given.peers, embedder, given.questions)]
    print(json.dumps({"bench": "retrieve_peers", "embedder": embedder.name, "results": found}))


if __name__ == "__main__":
    main()
