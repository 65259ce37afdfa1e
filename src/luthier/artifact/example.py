"""`Example`: the one form of training and evaluation rows; read and written as JSON lines."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

SPLITS = ("train", "dev", "test")
Role = Literal["system", "user", "assistant", "tool"]
Task = Literal["chat", "text", "preference", "kto", "classification"]
Label = str | float | tuple[str, ...]
"""A class, a number, or several classes."""


@dataclass(frozen=True)
class ToolCall:
    """A call the assistant makes. `arguments` is plain JSON; `id` is what the tool's result refers to, or ''."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True)
class Message:
    """One turn.

    `reasoning` is what the assistant thinks before it answers; `calls` the tools it calls; `name` and `call_id` say
    which tool, and which call, a tool's result belongs to. `weight` is how much an assistant's turn counts in the
    loss: None leaves it to the run (1 where the turn is learned), 0 is never learned.
    """

    role: Role
    content: str
    reasoning: str = ""
    calls: tuple[ToolCall, ...] = ()
    name: str = ""
    call_id: str = ""
    weight: float | None = None


@dataclass(frozen=True)
class Conversation:
    """Messages, and the tools that may be called in them (see `Example.tools`)."""

    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Example:
    """One row: a conversation that ends with the assistant's answer, or plain text, or texts with a label.

    `id` is a hash of the content; `source` says where it came from (`file:line`); `group` keeps rows together when
    they are split; `tag` is '' or a name under which loss and scores are reported apart; `weight` multiplies its loss.
    """

    id: str
    messages: tuple[Message, ...]
    source: str
    group: str = ""
    tag: str = ""
    tools: tuple[Mapping[str, Any], ...] = ()
    """The tools that may be called, as OpenAI's chat completions describe them ({"type": "function", ...})."""
    rejected: Message | None = None
    """A preference pair: the answer that is worse than the last message."""
    desirable: bool | None = None
    """KTO: whether the answer is wanted."""
    texts: tuple[str, ...] = ()
    """Without messages: one text to continue or to classify, or a pair to classify."""
    label: Label | None = None
    """What the texts are to be classified as."""
    weight: float = 1.0

    @property
    def task(self) -> Task:
        """What can be learned from it."""
        if self.texts:
            return "text" if self.label is None else "classification"
        if self.rejected is not None:
            return "preference"
        return "chat" if self.desirable is None else "kto"

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer."""
        return self.messages[:-1]

    @property
    def shown(self) -> str:
        """What a person reads of the prompt: its turns but the system's, with who speaks if there are several."""
        turns = [turn for turn in self.prompt if turn.role != "system"]
        return "\n".join(turn.content if len(turns) == 1 else f"{turn.role}: {turn.content}" for turn in turns)

    @property
    def reference(self) -> str:
        """The last answer; of a text, the text; of a classification, its label as text."""
        if self.messages:
            return self.messages[-1].content
        if isinstance(self.label, tuple):
            return ", ".join(self.label)
        return self.texts[0] if self.label is None else str(self.label)


def plain(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Give messages as chat templates take them: [{"role": ..., "content": ...}], with tool calls as OpenAI's."""
    return [_chat_form(message) for message in messages]


def _chat_form(message: Message) -> dict[str, Any]:
    form: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.reasoning:
        form["reasoning_content"] = message.reasoning
    if message.calls:
        form["tool_calls"] = [_call_form(call) for call in message.calls]
    if message.name:
        form["name"] = message.name
    if message.call_id:
        form["tool_call_id"] = message.call_id
    return form


def _call_form(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": dict(call.arguments)}
    return {"type": "function", **({"id": call.id} if call.id else {}), "function": function}


def to_plain(example: Example) -> dict[str, Any]:
    """Give an Example's JSON form: what is at its default is left out, but for the four fields every row has."""
    form: dict[str, Any] = {
        "id": example.id,
        "messages": [_message_form(message) for message in example.messages],
        "source": example.source,
        "group": example.group,
        "tag": example.tag,
    }
    for name in ("tools", "texts"):
        if getattr(example, name):
            form[name] = list(getattr(example, name))
    if example.rejected is not None:
        form["rejected"] = _message_form(example.rejected)
    if example.desirable is not None:
        form["desirable"] = example.desirable
    if example.label is not None:
        form["label"] = list(example.label) if isinstance(example.label, tuple) else example.label
    if example.weight != 1.0:
        form["weight"] = example.weight
    return form


def _message_form(message: Message) -> dict[str, Any]:
    form: dict[str, Any] = {"role": message.role, "content": message.content}
    for name in ("reasoning", "name", "call_id"):
        if getattr(message, name):
            form[name] = getattr(message, name)
    if message.calls:
        form["calls"] = [{"name": c.name, "arguments": dict(c.arguments), "id": c.id} for c in message.calls]
    if message.weight is not None:
        form["weight"] = message.weight
    return form


def from_plain(row: Mapping[str, Any]) -> Example:
    """Make an Example of its JSON form."""
    fields = dict(row)
    fields["messages"] = tuple(_message(message) for message in row["messages"])
    if "rejected" in fields:
        fields["rejected"] = _message(fields["rejected"])
    for name in ("tools", "texts"):
        if name in fields:
            fields[name] = tuple(fields[name])
    if isinstance(fields.get("label"), list):
        fields["label"] = tuple(fields["label"])
    return Example(**fields)


def _message(row: Mapping[str, Any]) -> Message:
    if "calls" not in row:
        return Message(**row)
    return Message(**{**row, "calls": tuple(ToolCall(**call) for call in row["calls"])})


def line_of(example: Example) -> str:
    """Give an Example as one line of JSON, its end of line included."""
    return json.dumps(to_plain(example), ensure_ascii=False) + "\n"


def read_examples(folder: Path, split: str) -> Iterator[Example]:
    """Read one split of an `examples` artifact, in its order."""
    with (folder / f"{split}.jsonl").open(encoding="utf-8") as file:
        for line in file:
            yield from_plain(json.loads(line))


def write_examples(folder: Path, split: str, examples: Iterable[Example]) -> int:
    """Write one split of an `examples` artifact. Gives the number of rows."""
    count = 0
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as file:
        for example in examples:
            file.write(line_of(example))
            count += 1
    return count
