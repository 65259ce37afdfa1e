"""The artifacts that an evaluation of fake models needs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from fake_chat import FakeModel, made

from luthier.artifact.example import Example, Message, write_examples
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens, write_tokens


def example(number: int, *, tag: str = "", group: str = "", reference: str | None = None) -> Example:
    """Make one question with its answer."""
    question = Message("user", f"question {number}{tag}")
    wanted = f"number {number} is the answer" if reference is None else reference
    messages = (Message("system", "be brief"), question, Message("assistant", wanted))
    return Example(f"id{number:03}{tag}", messages, f"rows.jsonl:{number}", group, tag)


def tokens(length: int, supervised: int) -> Tokens:
    """Make a row of tokens whose last ones are learned."""
    mask = np.zeros(length, np.bool_)
    mask[length - supervised :] = True
    return Tokens(np.arange(length, dtype=np.int32), mask)


@dataclass
class Bench:
    """A base, an adapter tuned from it, and the rows both are asked."""

    store: Store
    base: Artifact
    tuned: Artifact
    data: Artifact
    opened: list[str] = field(default_factory=list)
    models: dict[str, FakeModel] = field(default_factory=dict)

    def open_model(self, artifact: Artifact) -> FakeModel:
        """Open a model, and remember it."""
        self.opened.append(artifact.id)
        return self.models[artifact.id]


def parrot(question: str) -> str:
    """Know every answer."""
    return f"number {question.removeprefix('question ').removesuffix('recall')} is the answer"


def mumble(question: str) -> str:
    """Know some of the words."""
    return "the answer, I think"


def bench(
    store: Store, examples: Sequence[Example], rows: Sequence[Tokens] | None = None, trained_on: str | None = None
) -> Bench:
    """Set up a base which mumbles and a tuned model which knows."""
    base = made(store, "model", "base", {}, lambda out: None)

    def fill(out: Path) -> None:
        for split in ("train", "dev", "test"):
            write_examples(out, split, examples if split == "test" else ())
            filled = rows if rows is not None else [tokens(8 + place % 5, 3) for place in range(len(examples))]
            write_tokens(out, split, filled if split == "test" else ())

    data = made(store, "examples", f"data {len(examples)}", {"model": base.id}, fill)
    inputs = {"model": base.id, "data": trained_on or data.id}
    tuned = made(store, "adapter", "tuned", inputs, lambda out: None)
    models = {base.id: FakeModel(mumble, -2.0), tuned.id: FakeModel(parrot, -0.5)}
    return Bench(store, base, tuned, data, models=models)
