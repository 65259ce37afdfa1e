"""A candidate tried beside what is served: some requests it answers, some it is asked as well; both are written."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from luthier.artifact.atomic import append_line
from luthier.artifact.example import plain
from luthier.artifact.traffic import Exchange, Reply, line_of
from luthier.engine.ports import Answer
from luthier.serve.capture import masks, spoken
from luthier.serve.request import Asked
from luthier.serve.spec import TrialSpec

MOST_SHADOWS = 4
"""Requests that are mirrored at the same time; more are not: a trial must not slow down what it watches."""

Ask = Callable[[Asked], "asyncio.Future[list[Answer]]"]


@dataclass(frozen=True)
class Tried:
    """A trial as it stands for one request."""

    trial: "Trial"
    stable: str
    """The model everybody gets."""
    candidate: str
    missed: Reply | None = None
    """What became of the candidate where it was to answer and could not: the other one stood in."""

    def answered(self, request: str, asked: Asked, reply: Reply, *, by_candidate: bool) -> None:
        """Write an exchange that one of the two answered."""
        sides = (None, reply) if by_candidate else (reply, self.missed)
        self.trial.write(request, asked, (self.stable, self.candidate), sides)

    def mirror(self, request: str, asked: Asked, reply: Reply, ask: Ask) -> None:
        """Ask the candidate the same, for nobody to see, and write both."""
        self.trial.mirror(request, asked, (self.stable, self.candidate), reply, ask)


class Trial:
    """One candidate beside one model."""

    def __init__(self, spec: TrialSpec, redact: Callable[[str], str] | None) -> None:
        self.spec = spec
        self._redact = redact
        self._shadows: set[asyncio.Task[None]] = set()

    def _path(self, pair: tuple[str, str]) -> Path | None:
        """Where the exchanges are written: a file for each pair of models."""
        if self.spec.folder is None:
            return None
        return Path(self.spec.folder) / "--".join(pair).replace("/", "_") / "exchanges.jsonl"

    def mirror(self, request: str, asked: Asked, pair: tuple[str, str], reply: Reply, ask: Ask) -> None:
        """Ask the candidate too; some are left out where many run already."""
        if len(self._shadows) >= MOST_SHADOWS:
            return
        task = asyncio.ensure_future(self._shadow(request, asked, pair, reply, ask))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    def is_mirrored(self) -> bool:
        """Draw whether a request is mirrored."""
        return random.random() < self.spec.shadow

    async def _shadow(self, request: str, asked: Asked, pair: tuple[str, str], stable: Reply, ask: Ask) -> None:
        begun = time.monotonic()
        try:
            [answer] = await ask(replace(asked, model=pair[1], is_stream=False))
            reply = reply_of(answer, time.monotonic() - begun)
        except Exception as error:  # what failed is a figure of the trial, and nobody waits for it
            reply = broken(error, time.monotonic() - begun)
        self.write(request, asked, pair, (stable, reply))

    def write(
        self, request: str, asked: Asked, pair: tuple[str, str], sides: tuple[Reply | None, Reply | None]
    ) -> None:
        """Write one exchange: what the two said, None for one that was not asked."""
        path = self._path(pair)
        if path is None or len(asked.prompts) != 1 or (isinstance(asked.prompts[0], tuple) and not asked.is_chat):
            return
        messages = masks(plain(spoken(asked.prompts[0])[0]), self._redact)
        stable, canary = (
            Reply(masks(side.text, self._redact), side.finish, round(side.seconds, 4), side.tokens, side.error)
            if side
            else None
            for side in sides
        )
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        append_line(path, line_of(Exchange(at, request, tuple(messages), *pair, stable, canary)))


def reply_of(answer: Answer, seconds: float) -> Reply:
    """Give an answer as it stands in an exchange."""
    return Reply(answer.text, answer.finish, seconds, answer.tokens_said)


def broken(error: BaseException, seconds: float) -> Reply:
    """Give an answer that failed as it stands in an exchange."""
    return Reply("", "", seconds, error=f"{type(error).__name__}: {error}".partition("\n")[0])
