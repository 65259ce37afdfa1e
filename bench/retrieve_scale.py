"""How a large knowledge base bears up: ingestion, queries, loss against plain BM25, memory, a deletion.

    python bench/retrieve_scale.py [english] [chinese] [--chunks 100000] [--questions 200] [--data FOLDER]

Texts of the data sets in runs of eight sentences, drawn with a seed, make documents of some forty chunks each; they go
through `luthier index` as text files, cut as by default. Vectors of 384 numbers are drawn by each text's hash, in no
time: so what is measured is all but the embedder. Filling and asking are processes of their own, so that each one's
memory is seen. The last line is JSON.
"""

import argparse
import gzip
import hashlib
import json
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from luthier.artifact.store import Store
from luthier.event import Tell, hush
from luthier.index import build
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.measure.retrieval import ndcg
from luthier.measure.sentences import sentences
from luthier.measure.words import words
from luthier.retrieve.bm25 import Statistics, score, terms, weigh
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.opening import KnowledgeBase

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
RUN = 8
"""Sentences that stay together."""
DOCUMENT_CHUNKS = 40
CHUNK_WORDS = {"english": 165, "chinese": 165}
"""About so many words a chunk of 200 has, as sentences fill it."""
WIDTH = 384


class Drawn:
    """Vectors drawn by each text's hash: in no time, and of no meaning."""

    name, width, most_tokens = "drawn", WIDTH, 512

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Count words."""
        return [len(words(text)) for text in texts]

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text."""
        began = time.perf_counter()
        digests = b"".join(hashlib.shake_128(text.encode("utf-8", "surrogatepass")).digest(WIDTH) for text in texts)
        drawn = np.frombuffer(digests, np.int8).reshape(len(texts), WIDTH).astype(np.float32)
        made: npt.NDArray[np.float32] = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
        SPENT.append(time.perf_counter() - began)
        return made


SPENT: list[float] = []
"""Seconds of each call of the embedder."""


def read(path: Path) -> Any:
    """Read JSON, packed."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return json.load(file)


def english() -> tuple[list[str], list[str]]:
    """Texts, and questions."""
    parts = [part for row in read(DATA / "covid_qa" / "200423_covidQA.json.gz")["data"] for part in row["paragraphs"]]
    texts = [part["context"] for part in parts]
    with gzip.open(DATA / "scifact" / "corpus.jsonl.gz", "rt", encoding="utf-8") as file:
        texts += [json.loads(line)["text"] for line in file]
    texts += [row["output"] for row in read(DATA / "alpaca_52k" / "alpaca_data_en.json.gz")]
    return texts, [qa["question"] for part in parts for qa in part["qas"]]


def chinese() -> tuple[list[str], list[str]]:
    """Texts, and questions."""
    parts = [part for row in read(DATA / "cmrc2018" / "cmrc2018_dev.json.gz")["data"] for part in row["paragraphs"]]
    texts = [part["context"] for part in parts]
    texts += [row["output"] for row in read(DATA / "alpaca_52k" / "alpaca_data_zh_part.json.gz")]
    texts += [row["response"] for row in read(DATA / "legal_zh" / "zixun_gpt4.json.gz")]
    return texts, [qa["question"] for part in parts for qa in part["qas"]]


LANGUAGES = {"english": english, "chinese": chinese}


def documents(texts: Sequence[str], chunks: int, chunk_words: int) -> Iterator[str]:
    """Give documents that make about so many chunks together."""
    draw = random.Random(0)
    runs = []
    for text in texts:
        spans = sentences(text)
        runs += [text[spans[n][0] : spans[min(n + RUN, len(spans)) - 1][1]] for n in range(0, len(spans), RUN)]
    for _ in range(max(1, chunks // DOCUMENT_CHUNKS)):
        said, length = list[str](), 0
        while length < DOCUMENT_CHUNKS * chunk_words:
            run = draw.choice(runs)
            said.append(" ".join(run.split()))
            length += len(words(run))
        yield "\n\n".join(said)


class Memory:
    """The most memory that this process and its children hold together, from its making to `stop`."""

    def __init__(self) -> None:
        self._most, self._is_over = 0, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def stop(self) -> int:
        """Give it in megabytes."""
        self._is_over.set()
        self._thread.join()
        return self._most // 1024

    def _look(self) -> None:
        while not self._is_over.wait(0.1):
            self._most = max(self._most, sum(map(kilobytes, [os.getpid(), *children()])))


def children() -> list[int]:
    """Give the processes that this one started."""
    return [int(number) for task in Path("/proc/self/task").iterdir() for number in read_children(task)]


def read_children(task: Path) -> list[str]:
    """Give those that a thread started."""
    try:
        return (task / "children").read_text().split()
    except OSError:
        return []  # the thread has ended


def kilobytes(process: int) -> int:
    """Give a process's share of the memory it holds."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0  # it has ended
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def fill(folder: Path, project: str) -> dict[str, Any]:
    """Bring the documents in, for `plain` without an embedder."""
    setattr(build, "open_embedder", lambda name, tell: Drawn())  # noqa: B010 - mypy takes no other function there
    memory = Memory()
    began = time.perf_counter()
    spec = IndexSpec(source=str(folder / "docs"), embedder="none" if project == "plain" else "drawn")
    index(spec, None, Store(folder / project), hush)
    seconds = time.perf_counter() - began
    chunks = opened(folder, project).search("the", SearchSpec(way="bm25")).chunks
    figures = {
        "chunks": chunks,
        "seconds": round(seconds, 1),
        "cpu_seconds": round(sum(os.times()[:4]), 1),
        "embedder_seconds": round(sum(SPENT), 1),
        "chunks_per_second": round(chunks / (seconds - sum(SPENT))),
        "megabytes": memory.stop(),
    }
    return {f"{project}_{name}": value for name, value in figures.items()}


def opened(folder: Path, project: str) -> KnowledgeBase:
    """Open it, as a reader does."""
    return KnowledgeBase(folder / project / "knowledge" / "knowledge", None if project == "plain" else Drawn(), hush)


def ask(folder: Path, questions: Sequence[str]) -> dict[str, Any]:
    """Ask, then delete a document; memory is told before the plain formula is computed beside it."""
    memory = Memory()
    base = opened(folder, "drawn")
    began = time.perf_counter()
    base.search(questions[0], SearchSpec())
    figures: dict[str, Any] = {"first_ms": round(1000 * (time.perf_counter() - began), 1)}
    found = {}
    for way in ("bm25", "dense", "hybrid"):
        found[way] = [base.search(question, SearchSpec(way=way)) for question in questions]
        taken = [1000 * one.seconds["search"] for one in found[way]]
        figures |= {f"{way}_p50_ms": round(float(np.median(taken)), 1)}
        figures |= {f"{way}_p95_ms": round(float(np.quantile(taken, 0.95)), 1)}
    figures["ask_megabytes"] = memory.stop()
    figures["ndcg_loss"] = round(loss(base, questions, [one.hits for one in found["bm25"]]), 6)
    figures |= delete(folder / "drawn", base, questions[0])
    return figures


def loss(base: KnowledgeBase, questions: Sequence[str], found: Sequence[Sequence[Any]]) -> float:
    """Give 1 less the nDCG@10 of what was found, where the ten best by the plain formula are what is right.

    A chunk whose score ties with the tenth's is as right as the tenth.
    """
    held = base._catalogue.connection.execute("SELECT id, tokens FROM chunk WHERE kind = 'chunk'").fetchall()
    lost = []
    with base._catalogue.reading():
        statistics = [base._catalogue.statistics("chunk", terms(question)) for question in questions]
    for question, its, hits in list(zip(questions, statistics, found, strict=True))[:: max(1, len(questions) // 20)]:
        plain = exact(held, terms(question), its)
        edge = sorted(plain.values(), reverse=True)[:10][-1]
        right = {str(number): 1.0 for number, value in plain.items() if value >= edge - 1e-9}
        lost.append(1 - ndcg([str(hit.chunk.id) for hit in hits], right))
    return float(np.mean(lost))


def exact(held: Sequence[tuple[int, str]], asked: Sequence[str], statistics: Statistics) -> dict[int, float]:
    """Score one chunk after the other."""
    weights, mean = weigh(asked, statistics), statistics.length / statistics.chunks
    wanted = set(weights)
    split = ((number, text.split(" ")) for number, text in held)
    return {number: score(weights, tokens, mean) for number, tokens in split if not wanted.isdisjoint(tokens)}


def deleter(project: Path, orders: Any) -> None:
    """Delete the documents that are named, one after the other, in a process of its own."""
    for label in iter(orders.recv, None):
        delete_documents(project, "knowledge", [label], hush)
        orders.send(time.perf_counter())


def delete(project: Path, base: KnowledgeBase, question: str) -> dict[str, Any]:
    """Let another process delete documents, one at a time: until a reader that was open before does not find it, and
    until all is done."""
    seen, done = [], []
    how = SearchSpec(way="bm25")
    here, there = multiprocessing.Pipe()
    work = multiprocessing.get_context("fork").Process(target=deleter, args=(project, there))
    work.start()
    for _ in range(8):
        label = base.search(question, how).hits[0].chunk.document
        began = time.perf_counter()
        here.send(label)
        while any(hit.chunk.document == label for hit in base.search(question, how).hits):
            pass
        seen.append(1000 * (time.perf_counter() - began))
        done.append(1000 * (here.recv() - began))
    here.send(None)
    work.join()
    return {
        "delete_seen_p50_ms": round(float(np.median(seen[1:])), 1),  # the first loads what it needs
        "delete_done_p50_ms": round(float(np.median(done[1:])), 1),
    }


def child(word: str, folder: Path, language: str, questions: int) -> dict[str, Any]:
    """Do a part of the work in a process of its own."""
    command = [sys.executable, __file__, language, "--part", word, "--folder", str(folder)]
    done = subprocess.run([*command, "--questions", str(questions)], check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def measure(language: str, chunks: int, questions: int) -> dict[str, Any]:
    """Measure one language."""
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "docs").mkdir()
        texts, _ = LANGUAGES[language]()
        for number, text in enumerate(documents(texts, chunks, CHUNK_WORDS[language])):
            (folder / "docs" / f"{number:05}.txt").write_text(text, encoding="utf-8")
        figures: dict[str, Any] = {}
        for part in ("plain", "drawn", "ask"):
            figures |= child(part, folder, language, questions)
        size = sum(path.stat().st_size for path in (folder / "plain").rglob("*") if path.is_file())
        return {"language": language, **figures, "disk_megabytes": size // 2**20}


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("languages", nargs="*", default=list(LANGUAGES))
    parser.add_argument("--chunks", type=int, default=100_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--part", choices=["plain", "drawn", "ask"])
    parser.add_argument("--folder", type=Path)
    given = parser.parse_args()
    if given.part:
        _, asked = LANGUAGES[given.languages[0]]()
        chosen = random.Random(1).sample(asked, given.questions)
        print(json.dumps(ask(given.folder, chosen) if given.part == "ask" else fill(given.folder, given.part)))
        return
    found = [measure(language, given.chunks, given.questions) for language in given.languages]
    for figures in found:
        print(" ".join(f"{name} {value}" for name, value in figures.items()))
    print(json.dumps({"bench": "retrieve_scale", "cores": os.cpu_count(), "results": found}))


if __name__ == "__main__":
    main()
