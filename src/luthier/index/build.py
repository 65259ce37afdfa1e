"""Bring documents into a knowledge base: read, cut, embed, keep. A kill loses at most the batch it was in."""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from luthier.engine.embed import choose_embedder, open_embedder
from luthier.engine.ports import Embedder
from luthier.errors import DataError, LuthierError, ToolError
from luthier.event import Chose, Counted, Progress, Tell
from luthier.index.parsed import from_json
from luthier.index.readers import read_document
from luthier.index.ready import Cutter, Read, Setup, count_batches, made_ready, mark_of, read_file
from luthier.index.recognise import ReadRecognised, recogniser
from luthier.index.sources import File, is_followed
from luthier.index.spec import IndexSpec
from luthier.index.summarist import Summarist
from luthier.index.summary import summarise
from luthier.retrieve.batch import KINDS, NewDocument
from luthier.retrieve.bm25 import WORDS
from luthier.retrieve.catalogue import Catalogue, unpack
from luthier.retrieve.place import CATALOGUE, CURRENT, Current, flip, knowledge_folder, read_current, writer_lock
from luthier.retrieve.ports import Store, Vector
from luthier.retrieve.stores import open_store
from luthier.retrieve.writer import Writer

CHUNKS_AT_ONCE = 256
"""Chunks that are embedded and kept in one go; a kill loses no more work than that."""
UNEMBEDDED_AT_ONCE = 2_048
"""Where nothing is embedded: keeping them costs most, and least in large batches."""
LEAST_BATCHES = 4
"""Fewer are made ready here: workers would take longer to start."""
SAMPLED = 20
"""Documents that are read to choose an embedder."""


def bring_in(
    spec: IndexSpec,
    files: Sequence[File],
    project: Path,
    tell: Tell,
    summarist: Summarist,
    processes: int | None = None,
) -> dict[str, Any]:
    """Bring files into the knowledge base of a spec; gives its name, revision and what it holds."""
    folder = knowledge_folder(project, spec.name)
    with writer_lock(folder, tell):
        before = read_current(folder) if (folder / CURRENT).exists() else None
        name = embedder_of(spec, before, files, tell)
        embedder = open_embedder(name, tell) if name else None
        wanted = _wanted(spec, name, embedder, before, summarist.name)
        catalogue, stores = open_generation(folder, wanted)
        try:
            writer = Writer(catalogue, stores)
            cutter = Cutter(spec, embedder, summarist.begin())
            job = _Job(spec, cutter, writer, catalogue, embedder, tell, recogniser(project))
            if before and before.generation != wanted.generation:
                job.carry_over(folder / before.generation / CATALOGUE, {file.label for file in files})
            job.follow(files, processes)
            state = {"name": spec.name, **_state(catalogue)}
        finally:
            catalogue.close()
            for store in stores.values():
                store.close()
        if wanted != before:
            flip(folder, wanted)
        if before and before.generation != wanted.generation:
            _drop(folder, before)
    job.report()
    return state


def holds(spec: IndexSpec, files: Sequence[File], project: Path, summarist: str) -> bool:
    """Whether the knowledge base holds just these files of the spec's sources, as the spec wants them."""
    folder = knowledge_folder(project, spec.name)
    if not (folder / CURRENT).exists():
        return False
    current = read_current(folder)
    is_same = (
        current.words == WORDS
        and current.settings == _settings(spec, summarist)
        and spec.embedder in ("auto", current.embedder or "none")
    )
    if not is_same or current.store != spec.store or current.about != (spec.about or current.about):
        return False
    catalogue = Catalogue(folder / current.generation / CATALOGUE)
    try:
        with catalogue.reading():
            held = {
                label: sha256
                for label, (_, sha256, source) in catalogue.documents().items()
                if is_followed(label, source, spec.sources)
            }
    finally:
        catalogue.close()
    return held == {file.label: mark_of(spec, file, recogniser(project) is not None) for file in files}


def open_generation(folder: Path, current: Current) -> tuple[Catalogue, dict[str, Store]]:
    """Open what a generation consists of; it is made where it is not there."""
    place = folder / current.generation
    is_new = not place.exists()
    place.mkdir(parents=True, exist_ok=True)
    catalogue = Catalogue(place / CATALOGUE, create=True)
    stores: dict[str, Store] = {}
    try:
        for kind in KINDS:
            stores[kind] = open_store(current.store, kind, current.width, place, current.store_settings)
    except BaseException:  # a store that is down leaves nothing behind
        catalogue.close()
        for store in stores.values():
            with suppress(LuthierError):  # what failed first is told
                if is_new and not any(True for _ in store.ids()):  # else it was there before
                    store.drop()
            store.close()
        if is_new:
            shutil.rmtree(place)
        raise
    return catalogue, stores


def _drop(folder: Path, old: Current) -> None:
    """Take away what a generation left in a store that is not in its folder."""
    if old.store != "sqlite":
        for kind in KINDS:
            store = open_store(old.store, kind, old.width, folder / old.generation, old.store_settings)
            store.drop()
            store.close()


@dataclass
class _Job:
    spec: IndexSpec
    cutter: Cutter
    writer: Writer
    catalogue: Catalogue
    embedder: Embedder | None
    tell: Tell
    recognise: ReadRecognised | None
    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("added", "changed", "unchanged", "deleted", "left out"), 0)
    )
    failures: list[tuple[bool, LuthierError]] = field(default_factory=list)

    def follow(self, files: Sequence[File], processes: int | None) -> None:
        """Make the knowledge base hold what the sources hold now."""
        held = self.catalogue.documents()
        wanted = {file.label for file in files}
        sources = self.spec.sources
        ours = [label for label, (_, _, source) in held.items() if is_followed(label, source, sources)]
        gone = [label for label in ours if label not in wanted]
        self.counts["deleted"] = self.writer.delete(gone)
        news = [
            file
            for file in files
            if held.get(file.label, (0, ""))[1] != mark_of(self.spec, file, self.recognise is not None)
        ]
        self.counts["unchanged"] = len(files) - len(news)
        if self.embedder is None and self.cutter.summarise is summarise:
            self._keep_ready(news, held, processes)
            return

        def documents() -> Iterator[NewDocument | None]:
            for file in news:
                read = read_file(file, self.cutter, self.recognise)
                self._note(read, held)
                yield read.document

        self._keep(documents(), len(news))

    def carry_over(self, path: Path, without: set[str]) -> None:
        """Cut and embed anew what another generation holds, from what it keeps of each document."""
        old = Catalogue(path)
        self.writer.rise_above(old.revision)
        rows = old.connection.execute(
            "SELECT label, source, sha256, metadata, text, parsed FROM document WHERE state = 'here' ORDER BY id"
        ).fetchall()
        old.close()
        held = self.catalogue.documents()
        left = [row for row in rows if row[0] not in without and held.get(row[0], (0, ""))[1] != row[2]]

        def documents() -> Iterator[NewDocument]:
            for label, source, mark, metadata, text, parsed in left:
                read = from_json(unpack(parsed), unpack(text))
                yield self.cutter.document(read, label, source, mark, json.loads(metadata))

        self._keep(documents(), len(left))

    def report(self) -> None:
        """Say what was done; raises the first error of a document that was named itself."""
        self.tell(Counted("documents", {name: count for name, count in self.counts.items() if count}))
        named = [error for is_named, error in self.failures if is_named]
        done = self.counts["added"] + self.counts["changed"] + self.counts["unchanged"]
        if named or (self.failures and not done):
            raise (named or [error for _, error in self.failures])[0]

    def _note(self, read: Read, known: Container[str]) -> None:
        """Say what came of a file."""
        for event in read.events:
            self.tell(event)
        if read.error:
            self.failures.append((read.file.is_named, read.error))
            self.counts["left out"] += 1
        else:
            self.counts["changed" if read.file.label in known else "added"] += 1

    def _keep_ready(self, files: Sequence[File], known: Container[str], processes: int | None) -> None:
        """Keep files where nothing is to be embedded: other processes make them ready, and this one keeps them."""
        batches = count_batches(files)
        workers = min(processes or os.cpu_count() or 1, batches)
        if processes is None and batches < LEAST_BATCHES:
            workers = 1
        if workers > 1:
            self.tell(Chose("processes", str(workers), f"{batches} batches of documents are read and cut"))
        began, done, chunks = time.monotonic(), 0, 0
        with closing(made_ready(Setup(self.spec, self.recognise), files, workers)) as made:
            for ready in made:
                if ready.batch.documents:
                    self.writer.bring(ready.batch, {})
                for read in ready.reads:
                    self._note(read, known)
                done, chunks = done + len(ready.reads), chunks + len(ready.batch.pieces)
                seconds = max(1e-9, time.monotonic() - began)
                left = (len(files) - done) * seconds / done
                self.tell(Progress("indexing", done, len(files), "documents", chunks / seconds, left))

    def _keep(self, documents: Iterator[NewDocument | None], total: int) -> None:
        began, chunks, pieces = time.monotonic(), 0, 0
        batch: list[NewDocument] = []
        at_once = CHUNKS_AT_ONCE if self.embedder else UNEMBEDDED_AT_ONCE
        for done, document in enumerate(documents, start=1):
            if document:
                batch.append(document)
                pieces += len(document.drafts)
            if batch and (pieces >= at_once or done == total):
                self.writer.add(batch, self._vectors(batch))
                chunks += pieces
                batch, pieces = [], 0
                seconds = max(1e-9, time.monotonic() - began)
                left = (total - done) * seconds / done
                self.tell(Progress("indexing", done, total, "documents", chunks / seconds, left))
        if batch:
            self.writer.add(batch, self._vectors(batch))

    def _vectors(self, batch: Sequence[NewDocument]) -> dict[bytes, Vector]:
        """Embed what is new; what was embedded before keeps its vector."""
        if self.embedder is None:
            return {}
        drafts = [draft for document in batch for draft in document.drafts if draft.kind in KINDS]
        vectors = self.writer.known_vectors(drafts)
        texts = {draft.content: draft.searched for draft in drafts if draft.content not in vectors}
        if texts:
            found = self.embedder.embed(list(texts.values()), "passage", _quiet(self.tell))
            vectors.update(zip(texts, found, strict=True))
        return vectors


def _quiet(tell: Tell) -> Callable[[Any], None]:
    """Pass on all but progress: ours counts documents."""
    return lambda event: None if isinstance(event, Progress) else tell(event)


def embedder_of(spec: IndexSpec, before: Current | None, files: Sequence[File], tell: Tell) -> str:
    """Give the name of the embedder a spec means, '' for none: the one there was, else by how the documents read."""
    if spec.embedder != "auto":
        return "" if spec.embedder == "none" else spec.embedder
    if before:
        return before.embedder
    texts = []
    for file in files[:SAMPLED]:
        try:
            texts.append(read_document(file.path).text[:2000])
        except (DataError, ToolError):
            continue  # it is said where it is read to be kept
    return choose_embedder(texts, tell)


def _wanted(spec: IndexSpec, name: str, embedder: Embedder | None, before: Current | None, summarist: str) -> Current:
    """Give the generation that is to be read afterwards: the one there is, or the next."""
    about = spec.about or (before.about if before else "")
    name_of = embedder.name if embedder else ""
    width = embedder.width if embedder else 0
    wanted = Current("", about, name, name_of, width, spec.store, _settings(spec, summarist), spec.store_settings)
    if before and replace(before, generation="", about=about) == wanted:
        return replace(wanted, generation=before.generation)
    text = json.dumps(asdict(replace(wanted, about="")), sort_keys=True, default=str)
    return replace(wanted, generation=f"generation-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


def _settings(spec: IndexSpec, summarist: str) -> dict[str, Any]:
    return {"cut": spec.cut.model_dump(mode="json"), **({"summaries": summarist} if summarist else {})}


def _state(catalogue: Catalogue) -> dict[str, Any]:
    with catalogue.reading():
        held = catalogue.documents()
        chunks, length = catalogue.totals("chunk")
        return {
            "revision": catalogue.revision,
            "documents": len(held),
            "chunks": chunks,
            "words": length,
            "held": {label: mark for label, (_, mark, _) in sorted(held.items())},
        }
