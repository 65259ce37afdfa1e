"""Whether a knowledge base is whole, and how it is made so again."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.retrieve.batch import KINDS
from luthier.retrieve.catalogue import Catalogue, unpack, writing
from luthier.retrieve.ports import Entry, Store, Vector
from luthier.retrieve.writer import Writer

EmbedAll = Callable[[Sequence[str]], Sequence[Vector]]
AT_ONCE = 256


@dataclass(frozen=True)
class Health:
    """What was looked at, and what is wrong."""

    documents: int
    chunks: int
    left: int
    """Documents that a killed writer left half brought in, or half taken out; they are never found."""
    missing: Mapping[str, tuple[int, ...]]
    """Kind -> ids that the catalogue has and the store, or its vectors, have not."""
    surplus: Mapping[str, tuple[int, ...]]
    """Kind -> ids that the store has and the catalogue has not."""
    wrong_spans: tuple[int, ...]
    """Chunks that are not what their document says at their span."""
    wrong_statistics: tuple[str, ...]
    """Kinds whose words are counted wrongly."""
    damage: str
    """What SQLite says of the file; '' for nothing."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is wrong."""
        faults = (self.left, *map(len, self.missing.values()), *map(len, self.surplus.values()))
        return not (any(faults) or self.wrong_spans or self.wrong_statistics or self.damage)

    def lines(self) -> list[str]:
        """Say it."""
        found = [f"{self.documents} documents, {self.chunks} chunks"]
        if self.left:
            found.append(f"{self.left} documents were left half done by a writer that was killed")
        for kind in KINDS:
            if self.missing[kind]:
                found.append(f"{len(self.missing[kind])} {kind} entries are missing in the store")
            if self.surplus[kind]:
                found.append(f"{len(self.surplus[kind])} {kind} entries in the store belong to nothing")
        if self.wrong_spans:
            found.append(f"{len(self.wrong_spans)} chunks are not what their documents say at their span")
        found += [f"the words of the {kind} entries are counted wrongly" for kind in self.wrong_statistics]
        if self.damage:
            found.append(f"the catalogue's file is damaged: {self.damage}")
        return [*found, "whole" if self.is_whole else "not whole: luthier index --repair mends all but a damaged file"]


def verify(catalogue: Catalogue, stores: Mapping[str, Store], has_vectors: bool) -> Health:
    """Compare the catalogue with its stores, its documents and itself."""
    run = catalogue.connection.execute
    with catalogue.reading():
        (left,) = run("SELECT count(*) FROM document WHERE state <> 'here'").fetchone()
        documents = len(catalogue.documents())
        here = {kind: _ids(catalogue, kind) for kind in KINDS}
        missing, surplus = {}, {}
        for kind in KINDS:
            held = set(stores[kind].ids())
            lacking = here[kind] - held
            if has_vectors:
                vectors = stores[kind].vectors(sorted(here[kind] & held))
                lacking |= {number for number in here[kind] & held if not _is_unit(vectors.get(number))}
            missing[kind] = tuple(sorted(lacking))
            surplus[kind] = tuple(sorted(held - here[kind]))
        counted = [kind for kind in KINDS if _recount(catalogue, kind) != _counted(catalogue, kind)]
        spans = tuple(_wrong_spans(catalogue))
    (said,) = run("PRAGMA integrity_check(1)").fetchone()
    damage = "" if said == "ok" else str(said)
    return Health(documents, len(here["chunk"]), left, missing, surplus, spans, tuple(counted), damage)


def repair(catalogue: Catalogue, stores: Mapping[str, Store], health: Health, embed: EmbedAll | None) -> None:
    """Mend what `verify` found. The caller holds the writer's lock."""
    Writer(catalogue, stores)  # sweeps what was left
    for kind in KINDS:
        stores[kind].delete(health.surplus[kind])
        missing = health.missing[kind]
        for begin in range(0, len(missing), AT_ONCE):
            tokens = catalogue.tokens(missing[begin : begin + AT_ONCE])
            ids = list(tokens)
            vectors: Sequence[Vector | None] = embed(_texts(catalogue, ids)) if embed else [None] * len(ids)
            stores[kind].put(
                [Entry(number, tuple(tokens[number]), vector) for number, vector in zip(ids, vectors, strict=True)]
            )
    with writing(catalogue.connection):
        for kind in health.wrong_statistics:
            words, chunks, length = _recount(catalogue, kind)
            catalogue.tally.replace(kind, words)
            catalogue.connection.execute("INSERT OR REPLACE INTO total VALUES (?, ?, ?)", (kind, chunks, length))
        for number in {chunk.document for chunk in catalogue.chunks(health.wrong_spans).values()}:
            catalogue.connection.execute("UPDATE document SET sha256 = '' WHERE label = ?", (number,))  # read anew


def _ids(catalogue: Catalogue, kind: str) -> set[int]:
    rows = catalogue.connection.execute(
        "SELECT chunk.id FROM chunk JOIN document ON document.id = chunk.document "
        "WHERE document.state = 'here' AND kind = ?",
        (kind,),
    )
    return {number for (number,) in rows}


def _texts(catalogue: Catalogue, ids: Sequence[int]) -> list[str]:
    chunks = catalogue.chunks(ids)
    return ["\n".join([*chunks[number].heading[-2:], chunks[number].text]) for number in ids]


def _recount(catalogue: Catalogue, kind: str) -> tuple[dict[str, int], int, int]:
    words: Counter[str] = Counter()
    chunks = length = 0
    rows = catalogue.connection.execute(
        "SELECT tokens FROM chunk JOIN document ON document.id = chunk.document "
        "WHERE document.state = 'here' AND kind = ?",
        (kind,),
    )
    for (text,) in rows:
        tokens = text.split(" ") if text else []
        words.update(set(tokens))
        chunks, length = chunks + 1, length + len(tokens)
    return dict(words), chunks, length


def _counted(catalogue: Catalogue, kind: str) -> tuple[dict[str, int], int, int]:
    return (catalogue.tally.all(kind), *catalogue.totals(kind))


def _wrong_spans(catalogue: Catalogue) -> list[int]:
    run = catalogue.connection.execute
    wrong = []
    for number, packed in run("SELECT id, text FROM document WHERE state = 'here'").fetchall():
        text = unpack(packed)
        rows = run(
            "SELECT id, begin, finish, text FROM chunk WHERE document = ? AND kind IN ('chunk', 'parent')", (number,)
        )
        wrong += [chunk for chunk, begin, finish, said in rows if text[begin:finish] != said]
    return wrong


def _is_unit(vector: Vector | None) -> bool:
    return vector is not None and abs(float(np.linalg.norm(vector)) - 1) < 1e-3
