"""A small knowledge base in memory, and a generator that says what it is told to say."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.answer.opening import open_knowledge
from luthier.answer.spec import AnswerSpec
from luthier.artifact.example import Message
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling
from luthier.errors import SpecError
from luthier.event import Tell, hush
from luthier.measure.words import words
from luthier.retrieve.how import SearchSpec
from luthier.retrieve.ports import Chunk, Document, Found, Hit, Question

WIDTH = 256


class MadeIndex:
    """Documents in memory; a chunk is a paragraph. Words rank, and vectors are hashed words."""

    def __init__(self, documents: Mapping[str, str], has_embedder: bool = False) -> None:
        self.documents = documents
        self.has_embedder = has_embedder
        self.searched: list[Question] = []
        self.chunks: list[Chunk] = []
        for label, text in documents.items():
            begin = 0
            for page, paragraph in enumerate(text.split("\n\n"), 1):
                span = (begin, begin + len(paragraph))
                self.chunks.append(Chunk(len(self.chunks), label, paragraph, page, (), span))
                begin = span[1] + 2

    name = "made"
    about = "what a test knows"
    revision = 7

    def search(self, question: Question | str, how: SearchSpec | None = None) -> Found:
        """Rank by how many of the question's words a chunk has."""
        asked = Question(question) if isinstance(question, str) else question
        self.searched.append(asked)
        wanted = set(words(asked.passage or asked.text, bigrams=True))
        scored = [(len(wanted & set(words(chunk.text, bigrams=True))), chunk) for chunk in self.chunks]
        best = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])[: (how or SearchSpec()).top]
        hits = tuple(Hit(chunk, float(score), {"bm25": float(score)}, "made") for score, chunk in best)
        return Found(hits, self.revision, len(self.chunks), len(self.chunks))

    def parent(self, hit: Hit) -> Chunk:
        """Give the whole document."""
        text = self.documents[hit.chunk.document]
        return Chunk(1000 + hit.chunk.id, hit.chunk.document, text, 1, (), (0, len(text)))

    def around(self, hit: Hit, before: int = 1, after: int = 1) -> list[Chunk]:
        """Give the chunk between its neighbours."""
        own = [chunk for chunk in self.chunks if chunk.document == hit.chunk.document]
        place = own.index(hit.chunk)
        return own[max(0, place - before) : place + after + 1]

    def document(self, label: str, base: str = "") -> Document:
        """Give a document."""
        return Document(label, label, "", self.documents[label], "")

    def labels(self) -> list[str]:
        """Give all labels."""
        return sorted(self.documents)

    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Hash words into a few hundred numbers."""
        if not self.has_embedder:
            raise SpecError("no embedder", where="made", mend="make one")
        vectors = np.zeros((len(texts), WIDTH), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text, bigrams=True):
                vectors[row, sum(word.encode()) * 31 % WIDTH] += 1
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        scaled: npt.NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-9))
        return scaled


class Scripted:
    """A generator that answers by a function of the prompt's text, token by token of a few letters."""

    def __init__(self, say: Callable[[str], str], name: str = "scripted") -> None:
        self._say = say
        self.name = name
        self.defaults: Mapping[str, Any] = {}
        self.takes = ALWAYS_TAKEN
        self.heard: list[str] = []

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        """Answer each prompt."""
        return [self._one(prompt) for prompt in prompts]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer in pieces of three letters."""
        answer = self._one(prompt)
        for begin in range(0, len(answer.text), 3):
            yield Piece(answer.text[begin : begin + 3])
        yield Piece("", answer)

    def _one(self, prompt: Prompt) -> Answer:
        assert isinstance(prompt, tuple)
        heard = "\n".join(turn.content for turn in prompt if isinstance(turn, Message))
        self.heard.append(heard)
        said = self._say(heard)
        return Answer(said, tuple(range(len(said.split()))), tuple(range(len(heard.split()))), "stop")


def ask(
    question: str | tuple[Message, ...],
    documents: Mapping[str, str] | MadeIndex,
    say: Callable[[str], str] | Scripted | None = None,
    sampling: Sampling | None = None,
    **settings: Any,
) -> tuple[Answer, list[Mapping[str, Any]]]:
    """Ask a knowledge base made of documents. Gives the answer and the trace's steps."""
    index = documents if isinstance(documents, MadeIndex) else MadeIndex(documents)
    generator = Scripted(say) if callable(say) and not isinstance(say, Scripted) else say
    traces: list[Mapping[str, Any]] = []
    model = open_knowledge(
        "kb-made",
        AnswerSpec(**settings),
        index,
        generator,
        threshold=None,
        has_embedder=index.has_embedder,
        keep=traces.append,
        tell=hush,
    )
    prompt = (Message("user", question),) if isinstance(question, str) else question
    [answer] = model.answer([prompt], sampling or Sampling())
    return answer, list(traces[0]["steps"])
