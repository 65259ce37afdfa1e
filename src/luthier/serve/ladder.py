"""What answers for a model that is overloaded or failing: a ladder of rungs, moved by hand or by what is measured."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling
from luthier.errors import SpecError
from luthier.event import Tell
from luthier.serve.refusal import RefusedError
from luthier.serve.spec import LadderSpec


class Apology:
    """The last rung: says the same whatever it is asked. A `ChatModel`."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self._text = text

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Nothing is drawn."""
        return {}

    @property
    def takes(self) -> frozenset[str]:
        """What changes nothing here."""
        return ALWAYS_TAKEN

    @property
    def at_once(self) -> int:
        """As many as there are: it costs nothing."""
        return 64

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        """Say it to each."""
        return [self._answer() for _ in prompts]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Say it."""
        yield Piece(self._text, self._answer())

    def _answer(self) -> Answer:
        return Answer(self._text, (), (), "stop")


@dataclass(frozen=True)
class Rung:
    """One rung: its place, and the name of what answers there."""

    place: int
    name: str


class Ladder:
    """Which rung answers now."""

    def __init__(self, spec: LadderSpec, clock: Callable[[], float] = time.monotonic) -> None:
        self.spec = spec
        self._clock = clock
        self._now = 0
        self._by_hand: int | None = None
        self._last_reason = clock()
        self.rungs: tuple[Rung, ...] = _usable(spec)
        self.apologies = tuple(
            Apology(apology_name(spec.model, place), rung.say)
            for place, rung in enumerate(spec.rungs)
            if rung.say is not None
        )

    @property
    def at(self) -> int:
        """The place, among the rungs that may be used, of the one that answers."""
        return self._now if self._by_hand is None else self._by_hand

    @property
    def is_by_hand(self) -> bool:
        """Whether somebody has set the rung."""
        return self._by_hand is not None

    def set(self, at: int | None) -> None:
        """Set the rung by hand; None: by what is measured again. Raises RefusedError if there is no such rung."""
        if at is not None and not 0 <= at < len(self.rungs):
            raise RefusedError(
                f"rung is {at}",
                where="request body, key rung",
                mend=f"give 0 to {len(self.rungs) - 1}, or null: by what is measured",
            )
        self._by_hand = at

    def look(self, wait_seconds: float, error_share: float) -> int:
        """Move by what is measured of the rung that answers now; gives how far it moved (1: one down, -1: one up)."""
        now = self._clock()
        has_reason = wait_seconds > self.spec.down_wait_seconds or error_share >= self.spec.down_error_share > 0
        before = self._now
        if has_reason:
            self._last_reason = now
            self._now = min(self._now + 1, len(self.rungs) - 1)
        elif self._now and now - self._last_reason > self.spec.calm_seconds:
            self._last_reason = now  # the next step up waits as long again
            self._now -= 1
        return self._now - before

    def from_here(self) -> tuple[Rung, ...]:
        """Give the rung that answers, then those that stand in for it, in their order."""
        return self.rungs[self.at :]


def apology_name(model: str, place: int) -> str:
    """Give the name under which a rung's fixed words are served."""
    return f"{model}/rung-{place}"


def _usable(spec: LadderSpec) -> tuple[Rung, ...]:
    found = []
    for place, rung in enumerate(spec.rungs):
        key = f"key ladders.{spec.model}.rungs.{place}"
        if (rung.model is None) == (rung.say is None):
            raise SpecError("a rung is a model or words", where=key, mend="set one of `model` and `say`")
        if rung.say is None and spec.floor is not None:
            if rung.score is None:
                raise SpecError(
                    f"the floor is {spec.floor:g} and the rung {rung.model!r} has no score",
                    where=f"{key}.score",
                    mend="give what it reached in evaluation (luthier show SCORES), or leave floor out",
                )
            if rung.score < spec.floor:
                continue
        found.append(Rung(place, rung.model or apology_name(spec.model, place)))
    if not found:
        raise SpecError(
            f"every rung of {spec.model!r} lies below the floor {spec.floor}",
            where=f"key ladders.{spec.model}.floor",
            mend="lower the floor, or end the ladder with words (`say`)",
        )
    return tuple(found)
