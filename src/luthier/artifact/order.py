"""What is asked for: the part of a card that an artifact's id is the hash of."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "model",
    "rows",
    "index",
    "examples",
    "adapter",
    "quantized",
    "answer",
    "agent",
    "prompt",
    "comparison",
    "scores",
    "release",
    "traffic",
    "transcript",
]
KINDS: tuple[str, ...] = get_args(Kind)
"""Each is made from those before it."""


@dataclass(frozen=True)
class Order:
    """A thing to be made: two equal orders give the same artifact, on any machine."""

    kind: Kind
    stage: str
    version: int
    """The stage's VERSION, raised when its output changes for the same order."""
    spec: Mapping[str, Any]
    """What was asked, as plain JSON."""
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Role -> artifact id, or `sha256:...` of a file from outside."""
    choices: Mapping[str, str] = field(default_factory=dict)
    """Automatic choices that change the content (dtype, device ...)."""

    @property
    def id(self) -> str:
        """`kind-` and the first 12 hex digits of the SHA-256 of the order as canonical JSON."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return f"{self.kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
