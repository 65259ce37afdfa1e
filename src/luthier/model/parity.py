"""Parity: the ids we train on and serve are those of plain `apply_chat_template`, shown on a fixed set of probes."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from luthier.artifact.example import Conversation, Message, ToolCall, plain
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError

State = Literal["same", "refused", "no place", "different"]
"""The same ids; refused by the template; refused by us, for the template would drop a part of it; or not the same."""

WEATHER: Mapping[str, Any] = {
    "type": "function",
    "function": {
        "name": "look_up_weather",
        "description": "Weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED = (
    Message("user", "What is the weather in 杭州?"),
    Message("assistant", "", calls=(ToolCall("look_up_weather", {"city": "杭州"}, "call_1"),)),
    Message("tool", '{"sky": "clear", "degrees": 21}', name="look_up_weather", call_id="call_1"),
)
PROBES: Mapping[str, Conversation] = {
    "one turn": Conversation((Message("user", "What is 2 + 2?"), Message("assistant", "4."))),
    "system": Conversation((Message("system", "Be short."), Message("user", "Hello!"), Message("assistant", "Hi."))),
    "several turns": Conversation(
        (
            Message("user", "Name a river."),
            Message("assistant", "The Rhine."),
            Message("user", "Another."),
            Message("assistant", "The Po."),
        )
    ),
    "tools": Conversation((*ASKED, Message("assistant", "Clear, 21 degrees.")), (WEATHER,)),
    "thinking": Conversation(
        (Message("user", "17 * 3?"), Message("assistant", "51.", reasoning="17 * 3 = 51, for 10 * 3 + 7 * 3."))
    ),
    "thinking, several turns": Conversation(
        (
            Message("user", "17 * 3?"),
            Message("assistant", "51.", reasoning="30 + 21."),
            Message("user", "And 17 * 4?"),
            Message("assistant", "68.", reasoning="51 + 17."),
        )
    ),
    "Chinese": Conversation((Message("user", "西湖在哪座城市？"), Message("assistant", "在杭州。"))),
    "emoji": Conversation((Message("user", "Cheer 🦜 me 👩‍👩‍👧 up é"), Message("assistant", "🎉🇨🇭!"))),
    "line breaks": Conversation(
        (Message("user", "a\n\n\n  b\t\n"), Message("assistant", "1.\n\n2.  c\n\n```\n  d\n```"))
    ),
}


class Renders(Protocol):
    """What is held against plain `apply_chat_template`: a Template."""

    @property
    def tokenizer(self) -> Any:
        """The tokenizer with its chat template."""

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Give the ids the server feeds."""

    def render(
        self,
        messages: Sequence[Message],
        train_on: Literal["all", "last"] = "all",
        *,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Tokens:
        """Give the ids that are trained on."""


@dataclass(frozen=True)
class Parity:
    """What came of the probes. `sha256` is a hash of all their ids, those of `apply_chat_template`."""

    sha256: str
    probes: Mapping[str, State]

    @property
    def different(self) -> tuple[str, ...]:
        """The probes whose ids are not the same."""
        return tuple(name for name, state in self.probes.items() if state == "different")


def parity(template: Renders) -> Parity:
    """Compare, for each probe, our ids of the prompt and of the whole with those of `apply_chat_template`."""
    states: dict[str, State] = {}
    every: dict[str, tuple[list[int], list[int]] | None] = {}
    for name, probe in PROBES.items():
        every[name] = wanted = _plain_ids(template.tokenizer, probe)
        states[name] = _state(template, probe, wanted)
    text = json.dumps(every, sort_keys=True, separators=(",", ":"))
    return Parity(hashlib.sha256(text.encode()).hexdigest(), states)


def _plain_ids(tokenizer: Any, probe: Conversation) -> tuple[list[int], list[int]] | None:
    """Give the prompt's ids and the whole's, or None where the template refuses the probe."""
    messages, tools = plain(probe.messages), [dict(tool) for tool in probe.tools] or None

    def ids(part: list[dict[str, Any]], *, opened: bool) -> list[int]:
        found: list[int] = tokenizer.apply_chat_template(
            part,
            tools=tools,
            tokenize=True,
            return_dict=False,
            add_generation_prompt=opened,
            tokenizer_kwargs={"verbose": False},  # else it warns of texts longer than the model takes
        )
        return found

    try:
        return ids(messages[:-1], opened=True), ids(messages, opened=False)
    except Exception:  # a template is a program of strangers: it may raise anything
        return None


def _state(template: Renders, probe: Conversation, wanted: tuple[list[int], list[int]] | None) -> State:
    try:
        prompt = template.prompt(probe.messages[:-1], probe.tools)
        whole = template.render(probe.messages, "last", tools=probe.tools).ids.tolist()
    except DataError:
        return "refused" if wanted is None else "no place"
    return "same" if wanted == (prompt, whole) else "different"
