"""The tokens of a model in workers, as any of them knows them."""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from luthier.engine.ports import Prompt
from luthier.engine.wire import PROMPT, plain

Ask = Callable[[Mapping[str, Any]], Any]


class WorkerWords:
    """Prompts are counted by a worker; how tokens are spelled is asked once, and kept."""

    def __init__(self, ask: Ask, *, context: int, vocabulary: int) -> None:
        """`ask` gives what a worker answers to an order."""
        self._ask = ask
        self._context, self._vocabulary = context, vocabulary
        self._spelled: list[bytes] = []

    @property
    def context(self) -> int:
        """The longest sequence the model takes, in tokens."""
        return self._context

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self._vocabulary

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Give the ids a prompt is fed as. Raises DataError as the model does, ServeError without any worker.

        Asks for the spellings too, where they are not known: `spell` is called where nothing may be waited for.
        """
        self._learn()
        return tuple(self._ask({"encode": plain(PROMPT, prompt)}))

    def spell(self, token_ids: Sequence[int]) -> list[bytes]:
        """Give each token's own bytes."""
        self._learn()
        return [self._spelled[token_id] for token_id in token_ids]

    def _learn(self) -> None:
        if not self._spelled:
            found = self._ask({"spell": list(range(self._vocabulary))})
            self._spelled = [base64.b64decode(text) for text in found]
