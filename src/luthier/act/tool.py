"""What a tool is to the loop, whatever stands behind it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from luthier.errors import LuthierError

Origin = Literal["calculator", "knowledge", "api", "mcp", "python"]
LONGEST_NAME = 64
"""What chat templates and OpenAI's API take for a name."""


class CallError(LuthierError):
    """A call that failed: told to the model once, then to the user."""


@dataclass(frozen=True)
class Output:
    """What a tool said."""

    text: str
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to it, as plain JSON: a knowledge base's sources."""


Call = Callable[[Mapping[str, Any], float], Output]
"""`call(arguments, seconds)`: the arguments are valid; it takes no longer than so many seconds. Raises CallError."""


@dataclass(frozen=True)
class Tool:
    """Something a model may call."""

    name: str
    about: str
    """What it does, for the model."""
    parameters: Mapping[str, Any]
    """A JSON Schema of an object."""
    call: Call
    origin: Origin
    is_dangerous: bool = False
    """Whether it may change something: a person is asked first."""
    is_foreign: bool = True
    """Whether its output is written by strangers; what was read of them may not decide what is called."""

    def shown(self) -> dict[str, Any]:
        """Give it as chat templates and OpenAI's API take it."""
        function = {"name": self.name, "description": self.about, "parameters": dict(self.parameters)}
        return {"type": "function", "function": function}


def name_of(text: str) -> str:
    """Give a name that every template takes: letters, digits, _ and -, not longer than 64."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", text).strip("_")
    return name[:LONGEST_NAME].rstrip("_") or "tool"
