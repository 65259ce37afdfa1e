"""What fake models say, and the artifacts a comparison of them needs."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fake_chat import FakeModel, made

from luthier.artifact.example import Example, Message, write_examples
from luthier.artifact.store import Artifact, Store
from luthier.engine.prompted import PromptedModel, read_prompt

Say = Callable[[tuple[Message, ...]], str]


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

    base = made(store, "model", "base", {}, lambda out: None, "fetch")
    data = made(store, "examples", f"data {count}", {"model": base.id}, fill, "fetch")
    tuned = made(store, "adapter", "tuned", {"model": base.id, "data": data.id}, lambda out: None, "fetch")
    return Bench(store, base, tuned, data, {base.id: FakeModel(hear=base_says), tuned.id: FakeModel(hear=tuned_says)})
