"""A model behind a prompt template: what it is told first, and solved questions it is shown, before the one asked."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import Answer, ChatModel, Closing, Piece, Prompt, Sampling
from luthier.event import Tell, hush

NAME = "prompt.json"


@dataclass(frozen=True)
class PromptTemplate:
    """What stands before a question."""

    name: str
    system: str = ""
    """What the model is told first; a conversation's own system message follows it."""
    shots: tuple[tuple[str, str], ...] = ()
    """Questions with their answers."""

    def before(self, prompt: Prompt) -> Prompt:
        """Put it before a conversation; a plain text, or token ids, are left as they are."""
        if isinstance(prompt, Conversation):
            return replace(prompt, messages=self._messages(prompt.messages))
        messages = [turn for turn in prompt if isinstance(turn, Message)] if not isinstance(prompt, str) else []
        return self._messages(tuple(messages)) if messages else prompt

    def _messages(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        own = messages[:1] if messages[0].role == "system" else ()
        told = "\n\n".join(part for part in (self.system, *(turn.content for turn in own)) if part)
        shown = [Message(role, text) for shot in self.shots for role, text in zip(ROLES, shot, strict=True)]
        return (*([Message("system", told)] if told else []), *shown, *messages[len(own) :])


ROLES: tuple[Any, Any] = ("user", "assistant")


def write_prompt(folder: Path, template: PromptTemplate) -> None:
    """Write a template as a file."""
    atomic.write_json(folder / NAME, asdict(template))


def read_prompt(folder: Path) -> PromptTemplate:
    """Read a template from its file."""
    found: dict[str, Any] = json.loads((folder / NAME).read_text(encoding="utf-8"))
    return PromptTemplate(found["name"], found["system"], tuple((asked, said) for asked, said in found["shots"]))


class PromptedModel:
    """A model that is asked behind a template."""

    def __init__(self, inner: ChatModel, template: PromptTemplate, name: str) -> None:
        self.inner = inner
        self.template = template
        self._name = name

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Those of the model behind it."""
        return self.inner.defaults

    @property
    def takes(self) -> frozenset[str]:
        """What the model behind it heeds."""
        return self.inner.takes

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts, each behind the template."""
        return self.inner.answer([self.template.before(prompt) for prompt in prompts], sampling, tell)

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt behind the template, piece by piece."""
        return self.inner.stream(self.template.before(prompt), sampling, cancelled)

    def close(self) -> None:
        """Let the model behind it give back what it holds."""
        if isinstance(self.inner, Closing):
            self.inner.close()
