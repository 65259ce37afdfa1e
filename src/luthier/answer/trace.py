"""The trace of an answer: what was searched, found, asked and said, in order; plain JSON, a dict a step."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from luthier.artifact.example import Message, plain


@dataclass
class Trace:
    """What happened on the way to one answer."""

    question: str
    history: tuple[Message, ...] = ()
    steps: list[dict[str, Any]] = field(default_factory=list)
    recorded: tuple[Mapping[str, Any], ...] = ()
    """The steps of an earlier trace: what they say is taken from there where the same is asked again."""

    def add(self, step: str, **facts: Any) -> None:
        """Write a step down."""
        self.steps.append({"step": step, **facts})

    @contextmanager
    def timed(self, step: str, **facts: Any) -> Iterator[dict[str, Any]]:
        """Write a step down with its seconds; the block adds to its facts."""
        entry: dict[str, Any] = {"step": step, **facts}
        begun = time.perf_counter()
        try:
            yield entry
        finally:
            entry["seconds"] = round(time.perf_counter() - begun, 4)
            self.steps.append(entry)

    def earlier(self, step: str, **facts: Any) -> Mapping[str, Any] | None:
        """Give the recorded step of this kind with these facts, or None."""
        wanted = {"step": step, **facts}
        return next((old for old in self.recorded if all(old.get(key) == value for key, value in wanted.items())), None)

    def plain(self) -> dict[str, Any]:
        """Give it as plain JSON."""
        return {
            "question": self.question,
            "history": plain(self.history),
            "steps": self.steps,
            "totals": self.totals,
        }

    @property
    def totals(self) -> dict[str, Any]:
        """Give what its steps took together."""
        asked = [step for step in self.steps if step["step"] == "generate"]
        return {
            "seconds": round(sum(step.get("seconds", 0.0) for step in self.steps), 4),
            "searches": sum(step["step"] == "search" for step in self.steps),
            "prompts": len(asked),
            "prompt_tokens": sum(step.get("prompt_tokens", 0) for step in asked),
            "answer_tokens": sum(step.get("answer_tokens", 0) for step in asked),
        }
