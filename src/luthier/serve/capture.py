"""Conversations that people gave away to be learned from: kept until they are judged, masked, then written.

What is written is what `luthier prepare` reads as captured answers: `judged-DATE.jsonl` a request, its response and the
feedback; `better-DATE.jsonl` pairs of a better answer and the one that was given.
"""

import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from luthier.artifact.atomic import append_line
from luthier.artifact.example import Message, plain
from luthier.engine.ports import Answer
from luthier.serve.refusal import RefusedError
from luthier.serve.request import Asked
from luthier.serve.spec import CaptureSpec

CONSENT = "x-luthier-consent"
KEPT = 10_000
"""Conversations that wait for feedback; the oldest go first."""
KEPT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Kept:
    """One conversation that may be judged."""

    at: float
    key: str
    messages: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...]
    answer: str
    model: str


class Capture:
    """Keeps what may be kept, in memory, and writes it once somebody judges it."""

    def __init__(self, spec: CaptureSpec, redact: Callable[[str], str] | None) -> None:
        self._spec = spec
        self._redact = redact if spec.redact else None
        self._kept: OrderedDict[str, Kept] = OrderedDict()

    def keep(self, response: str, asked: Asked, answers: list[Answer], headers: Mapping[str, str], key: str) -> None:
        """Keep a conversation, if its request gave consent and there is where to write it."""
        if self._spec.folder is None or headers.get(CONSENT, "").lower() != self._spec.consent.lower():
            return
        if not asked.is_chat or len(answers) != 1:
            return
        [prompt] = asked.prompts
        messages, tools = spoken(prompt)
        self._kept[response] = Kept(time.time(), key, messages, tools, answers[0].text, asked.model)
        while self._kept and (len(self._kept) > KEPT or self._oldest() < time.time() - KEPT_SECONDS):
            self._kept.popitem(last=False)

    def _oldest(self) -> float:
        return next(iter(self._kept.values())).at

    def judge(self, response: str, feedback: str, better: str | None, key: str) -> None:
        """Write a conversation with what somebody thinks of it. Raises RefusedError (404) if it is not kept."""
        kept = self._kept.get(response)
        if kept is None or kept.key != key or self._spec.folder is None:
            raise RefusedError(
                f"no conversation {response!r} is kept",
                where="request body, key id",
                mend=f"send the header {CONSENT}: {self._spec.consent} with the request, and judge it within a day"
                if self._spec.folder
                else "start the server with capture.folder=FOLDER",
                status=404,
                code="not_found",
            )
        del self._kept[response]
        day = time.strftime("%Y-%m-%d", time.gmtime())
        messages = plain(kept.messages)
        said = {"role": "assistant", "content": kept.answer}
        if better is not None:
            row: dict[str, Any] = {"prompt": messages, "chosen": better, "rejected": kept.answer}
            name = f"better-{day}.jsonl"
        else:
            request = {"messages": messages, **({"tools": list(kept.tools)} if kept.tools else {})}
            row = {"request": request, "response": {"choices": [{"message": said}]}, "feedback": feedback}
            name = f"judged-{day}.jsonl"
        masked = masks(row, self._redact)
        append_line(Path(self._spec.folder) / name, json.dumps(masked | {"model": kept.model}, ensure_ascii=False))


def spoken(prompt: Any) -> tuple[tuple[Message, ...], tuple[Mapping[str, Any], ...]]:
    """Give the messages and tools of any prompt; a text is one message of a user."""
    if isinstance(prompt, str):
        return (Message("user", prompt),), ()
    messages = getattr(prompt, "messages", prompt)
    return tuple(turn for turn in messages if isinstance(turn, Message)), tuple(getattr(prompt, "tools", ()))


def masks(value: Any, redact: Callable[[str], str] | None) -> Any:
    """Give plain JSON with every text in it masked."""
    if redact is None:
        return value
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: masks(inner, redact) for key, inner in value.items()}
    return [masks(inner, redact) for inner in value] if isinstance(value, list) else value
