"""How far an agent may still go: steps, tokens, time."""

import time
from typing import Literal

from luthier.act.spec import BudgetSpec
from luthier.engine.ports import Answer

LETTERS_PER_TOKEN = 4
"""Where an engine does not say what its tokens are."""

Bound = Literal["tokens", "seconds", "context"]
"""What may be used up; the context is the model's own."""


class Budget:
    """What is left of it, for one task."""

    def __init__(self, spec: BudgetSpec) -> None:
        self.spec = spec
        self.steps = 0
        self.tokens = 0
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds gone."""
        return time.monotonic() - self._begun

    @property
    def seconds_left(self) -> float:
        """Seconds left, never less than nothing."""
        return max(0.0, self.spec.seconds - self.seconds)

    @property
    def tokens_left(self) -> int:
        """Tokens left, never less than nothing."""
        return max(0, self.spec.tokens - self.tokens)

    @property
    def is_last(self) -> bool:
        """Whether only one step is left: that one is an answer."""
        return self.steps >= self.spec.steps - 1

    def spent(self) -> Bound | None:
        """Give which bound is reached."""
        return "tokens" if not self.tokens_left else "seconds" if not self.seconds_left else None

    def take(self, answer: Answer, prompt_letters: int) -> None:
        """Count what the model read and said."""
        read = answer.tokens_read or prompt_letters // LETTERS_PER_TOKEN
        self.tokens += read + (answer.tokens_said or len(answer.text) // LETTERS_PER_TOKEN + 1)
