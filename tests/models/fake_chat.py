"""A model that obeys the port and knows what to say, and artifacts without their stages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import Message
from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Finish, Piece, Prompt, Sampling
from luthier.event import Progress, Tell, hush


@dataclass
class FakeModel:
    """Says `say(last turn)`, or `hear(all turns)` where that is given; counts what it is asked.

    Each supervised token has the log-probability it was given.
    """

    say: Callable[[str], str] = str
    log_probability: float = -1.0
    finish_after: int = 1_000
    hear: Callable[[tuple[Message, ...]], str] | None = None
    batches: list[int] = field(default_factory=list)
    samplings: list[Sampling] = field(default_factory=list)
    closed: int = 0

    @property
    def name(self) -> str:
        return "fake"

    @property
    def takes(self) -> frozenset[str]:
        return ALWAYS_TAKEN

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        self.batches.append(len(prompts))
        self.samplings.append(sampling)
        tell(Progress("answer", len(prompts), len(prompts), "prompts"))
        return [self._answer(prompt) for prompt in prompts]

    def _answer(self, prompt: Prompt) -> Answer:
        assert isinstance(prompt, tuple)
        turns = tuple(turn for turn in prompt if isinstance(turn, Message))
        text = self.hear(turns) if self.hear else self.say(turns[-1].content)
        said = text[: self.finish_after]
        finish: Finish = "length" if len(text) > self.finish_after else "stop"
        return Answer(said, (1,) * max(1, len(said.split())), (1,) * 10 * len(turns), finish)

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        raise NotImplementedError

    def score(self, rows: Sequence[Tokens], tell: Tell) -> list[npt.NDArray[np.float64]]:
        assert all(row.supervised for row in rows)
        return [np.full(row.supervised, self.log_probability) for row in rows]

    def close(self) -> None:
        self.closed += 1


def made(
    store: Store,
    kind: Kind,
    name: str,
    inputs: Mapping[str, str],
    fill: Callable[[Path], None],
    stage: str = "test",
    figures: Mapping[str, Any] | None = None,
) -> Artifact:
    """Make an artifact without its stage."""

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        fill(out)
        return figures or {}

    return store.make(Order(kind, stage, 1, {"name": name}, inputs), build, hush)
