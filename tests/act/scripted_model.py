"""A model that says what a test tells it to, and remembers what it was asked."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from luthier.act.spec import ActSpec
from luthier.act.tool import Output, Tool
from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling
from luthier.event import Tell


@dataclass
class ScriptedModel:
    """Says the next of `lines`, or what `say(prompt text, schema)` gives."""

    lines: list[str] = field(default_factory=list)
    say: Callable[[str, str | None], str] | None = None
    takes_schema: bool = True
    asked: list[Prompt] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)

    @property
    def name(self) -> str:
        return "scripted"

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    @property
    def takes(self) -> frozenset[str]:
        return ALWAYS_TAKEN | ({"json_schema"} if self.takes_schema else set())

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        return [self._next(prompt, sampling) for prompt in prompts]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        answer = self._next(prompt, sampling)
        for word in re.findall(r"\S+\s*", answer.text):
            if cancelled():
                return
            yield Piece(word)
        yield Piece("", answer)

    def _next(self, prompt: Prompt, sampling: Sampling) -> Answer:
        self.asked.append(prompt)
        self.samplings.append(sampling)
        text = self.say(text_of(prompt), sampling.json_schema) if self.say else self.lines.pop(0)
        return Answer(text, tuple(range(len(text.split()))), tuple(range(10)), "stop")


def text_of(prompt: Prompt) -> str:
    """Give all that is said in a prompt."""
    assert isinstance(prompt, Conversation | tuple)
    turns = prompt.messages if isinstance(prompt, Conversation) else prompt
    return "\n".join(turn.content for turn in turns if isinstance(turn, Message))


@dataclass
class Shelf:
    """Tools for tests: what each is called with is kept."""

    outputs: Mapping[str, str | Exception]
    """Tool -> what it says, or raises."""
    dangerous: frozenset[str] = frozenset()
    called: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)

    @property
    def tools(self) -> dict[str, Tool]:
        return {name: self._tool(name) for name in self.outputs}

    def close(self) -> None:
        """Nothing is open."""

    def _tool(self, name: str) -> Tool:
        def call(arguments: Mapping[str, Any], seconds: float) -> Output:
            self.called.append((name, dict(arguments)))
            said = self.outputs[name]
            if isinstance(said, Exception):
                raise said
            return Output(said)

        parameters = {
            "type": "object",
            "properties": {"text": {"type": "string"}},
            "required": ["text"],
            "additionalProperties": False,
        }
        return Tool(name, f"Does {name}.", parameters, call, "api", is_dangerous=name in self.dangerous)


def settings(**more: Any) -> ActSpec:
    """Give a spec whose model calls by JSON."""
    return ActSpec.model_validate({"calls": "json", **more})
