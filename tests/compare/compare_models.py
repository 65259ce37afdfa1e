"""Models that know what to say, and the artifacts a comparison of them needs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.artifact.example import Example, Message, write_examples
from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling
from luthier.engine.prompted import PromptedModel, read_prompt
from luthier.event import Tell, hush

Say = Callable[[tuple[Message, ...]], str]


@dataclass
class FakeModel:
    """Says `say(messages)`; counts what it was asked."""

    say: Say
    batches: list[int] = field(default_factory=list)
    closed: int = 0

    @property
    def name(self) -> str:
        return "fake"

    @property
    def takes(self) -> frozenset[str]:
        return ALWAYS_TAKEN

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        self.batches.append(len(prompts))
        answers = []
        for prompt in prompts:
            assert isinstance(prompt, tuple)
            text = self.say(tuple(turn for turn in prompt if isinstance(turn, Message)))
            answers.append(Answer(text, (1,) * len(text.split()), (1,) * 10 * len(prompt), "stop"))
        return answers

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        raise NotImplementedError

    def close(self) -> None:
        self.closed += 1


def example(number: int, tag: str = "") -> Example:
    """Make one question with its answer."""
    messages = (Message("user", f"question {number}"), Message("assistant", f"number {number} is the answer"))
    return Example(f"id{number:03}{tag}", messages, f"rows.jsonl:{number}", "", tag)


def knows(messages: tuple[Message, ...]) -> str:
    """Know every answer."""
    return f"number {messages[-1].content.removeprefix('question ')} is the answer"


def mumbles(messages: tuple[Message, ...]) -> str:
    """Know none of the words."""
    return "well, who knows"


def learns_from_examples(messages: tuple[Message, ...]) -> str:
    """Know the answer once three solved questions were shown."""
    return knows(messages) if len(messages) >= 7 else mumbles(messages)


def made(store: Store, kind: Kind, name: str, inputs: Mapping[str, str], fill: Callable[[Path], None]) -> Artifact:
    """Make an artifact without its stage."""

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        fill(out)
        return {}

    return store.make(Order(kind, "fetch", 1, {"name": name}, inputs), build, hush)


@dataclass
class Bench:
    """A base, an adapter tuned from it, and rows."""

    store: Store
    base: Artifact
    tuned: Artifact
    data: Artifact
    models: dict[str, FakeModel]
    opened: list[str] = field(default_factory=list)

    def open_model(self, artifact: Artifact) -> FakeModel | PromptedModel:
        """Open a model, and remember it; a prompt puts its template before the base."""
        self.opened.append(artifact.id)
        if artifact.kind == "prompt":
            return PromptedModel(self.models[artifact.order.inputs["model"]], read_prompt(artifact.folder), artifact.id)
        return self.models[artifact.id]


def bench(store: Store, base_says: Say, tuned_says: Say, count: int = 40) -> Bench:
    """Set up models and rows: `count` held-out rows, some of them tagged, ten dev rows and ten to be shown."""

    def fill(out: Path) -> None:
        write_examples(out, "train", [example(number) for number in range(200, 210)])
        write_examples(out, "dev", [example(number) for number in range(300, 310)])
        write_examples(out, "test", [example(n) for n in range(count)] + [example(n, "recall") for n in range(5)])

    base = made(store, "model", "base", {}, lambda out: None)
    data = made(store, "examples", f"data {count}", {"model": base.id}, fill)
    tuned = made(store, "adapter", "tuned", {"model": base.id, "data": data.id}, lambda out: None)
    return Bench(store, base, tuned, data, {base.id: FakeModel(base_says), tuned.id: FakeModel(tuned_says)})
