"""Documents read, cut and made ready to be kept: what needs no knowledge base, in this process or in others."""

import hashlib
import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.engine.ports import Embedder
from luthier.errors import DataError, LuthierError, ToolError
from luthier.event import Event, Said, Warned
from luthier.index.cut import Sizes, cut
from luthier.index.parsed import SCANNED, Parsed
from luthier.index.readers import VERSION, read_document
from luthier.index.recognise import MEND, ReadRecognised
from luthier.index.sources import File
from luthier.index.spec import IndexSpec
from luthier.index.summarist import Summarise
from luthier.index.summary import summarise
from luthier.measure.words import count_words
from luthier.pool import ordered
from luthier.retrieve.batch import Batch, Draft, NewDocument, batch_of

BYTES_AT_ONCE = 1_000_000
"""Of the files that are made ready together, and kept in one go: some 1,000 chunks."""
AHEAD = 2
"""Batches under way for each process: one of them takes some 10 MB."""


@dataclass
class Cutter:
    """Turns what was read into pieces, sized by the embedder's tokens."""

    spec: IndexSpec
    embedder: Embedder | None
    summarise: Summarise = summarise

    def __post_init__(self) -> None:
        cut_spec = self.spec.cut
        tokens = min(cut_spec.tokens, self.embedder.most_tokens) if self.embedder else cut_spec.tokens
        self.sizes = Sizes(tokens, min(cut_spec.overlap, tokens // 2), cut_spec.parent_tokens)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Count tokens; words where there is no embedder."""
        return self.embedder.count_tokens(texts) if self.embedder else list(map(count_words, texts))

    def document(self, parsed: Parsed, label: str, source: str, mark: str, metadata: Mapping[str, Any]) -> NewDocument:
        """Give a document's pieces."""
        summary = self.summarise(parsed)
        drafts = [*cut(parsed, self.sizes, self.count), Draft("summary", summary, (0, 0))]
        return NewDocument(label, source, mark, parsed.title, parsed.text, summary, metadata, drafts, parsed.to_json())


@dataclass(frozen=True)
class Read:
    """What came of a file."""

    file: File
    document: NewDocument | None = None
    events: tuple[Event, ...] = ()
    error: LuthierError | None = None


@dataclass(frozen=True)
class Ready:
    """Files that were made ready together."""

    reads: Sequence[Read]
    """Without their documents."""
    batch: Batch


@dataclass(frozen=True)
class Setup:
    """What makes files ready, where neither an embedder nor a generator is needed for it."""

    spec: IndexSpec
    recognise: ReadRecognised | None

    def open(self) -> Callable[[Sequence[File]], Ready]:
        """Give what does it."""
        cutter = Cutter(self.spec, None)

        def work(files: Sequence[File]) -> Ready:
            reads = [read_file(file, cutter, self.recognise) for file in files]
            documents = [read.document for read in reads if read.document]
            return Ready([Read(read.file, None, read.events, read.error) for read in reads], batch_of(documents))

        return work


def made_ready(setup: Setup, files: Sequence[File], processes: int) -> Generator[Ready, None, None]:
    """Make files ready, a batch at a time, in their order; the same batches in however many processes."""
    batches = list(_batches(files))
    if min(processes, len(batches)) > 1:
        yield from ordered(setup, batches, processes, AHEAD)
        return
    yield from map(setup.open(), batches)


def count_batches(files: Sequence[File]) -> int:
    """Say how many batches files make."""
    return sum(1 for _ in _batches(files))


def _batches(files: Iterable[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.bytes
        if size >= BYTES_AT_ONCE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def read_file(file: File, cutter: Cutter, recognise: ReadRecognised | None) -> Read:
    """Read and cut a file."""
    try:
        parsed = read_document(file.path, recognise)
    except (DataError, ToolError) as error:
        told = Warned(f"left out: {error.what} ({error.where})", error.mend)
        return Read(file, None, (told,), error)
    metadata = {**parsed.metadata, "file": file.label, **cutter.spec.metadata}
    mark = mark_of(cutter.spec, file, recognise is not None)
    document = cutter.document(parsed, file.label, file.source, mark, metadata)
    return Read(file, document, tuple(_of_scans(file, parsed)))


def mark_of(spec: IndexSpec, file: File, is_recognised: bool) -> str:
    """Give a hash of all that bears on what is kept of a file; a PDF is read anew once scanned pages can be."""
    facts: list[Any] = [file.sha256, spec.metadata, VERSION]
    if is_recognised and file.path.suffix.casefold() == ".pdf":
        facts.append("recognised")
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _of_scans(file: File, parsed: Parsed) -> Iterator[Event]:
    pages, recognised = parsed.metadata.get(SCANNED), parsed.metadata.get("pages_recognised")
    if pages:
        what = f"{file.label}: {len(pages)} pages are pictures, their text is not read (page {pages[0]} ...)"
        yield Warned(what, f"recognise it: {MEND}")
    elif recognised:
        yield Said(f"{file.label}: the text of {len(recognised)} scanned pages was recognised")
