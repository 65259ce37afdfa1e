"""Prompts as token ids: made by the model's own template, and checked before any engine sees them."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from luthier.artifact.example import Conversation
from luthier.engine.ports import CONTEXT, Prompt
from luthier.errors import DataError
from luthier.model.spell import spell
from luthier.model.template import Template


@dataclass(frozen=True)
class Words:
    """A model's template, and how many token ids the model has."""

    template: Template
    vocabulary: int
    _lock: threading.Lock = field(default_factory=threading.Lock)
    """Tokenizers encode for one caller at a time."""

    def ids(self, prompt: Prompt) -> list[int]:
        """Give the ids a prompt is fed as. Raises DataError if the template refuses the messages."""
        with self._lock:
            if isinstance(prompt, str):
                found: list[int] = self.template.tokenizer(prompt)[
                    "input_ids"
                ]  # with the BOS token, where there is one
                return found
            if isinstance(prompt, Conversation):
                return self.template.prompt(prompt.messages, prompt.tools)
            if prompt and not isinstance(prompt[0], int):
                return self.template.prompt([turn for turn in prompt if not isinstance(turn, int)])
            return [int(token_id) for token_id in prompt if isinstance(token_id, int)]

    def spell(self, token_ids: Sequence[int]) -> list[bytes]:
        """Give each token's own bytes."""
        return spell(self.template.tokenizer, token_ids)

    def check(self, ids: Sequence[int], room: int, where: str) -> None:
        """Raise DataError for ids that are none, that leave less than `room` in the context, or that do not exist."""
        context = self.template.context
        if not ids:
            raise DataError("the prompt is empty: it has 0 tokens", where=where, mend="give at least one token")
        if len(ids) + room > context:
            raise DataError(
                f"the prompt has {len(ids)} tokens, the model's context is {context}"
                f"{' and an answer needs at least one' if room else ''}",
                where=f"{where}, {CONTEXT}",
                mend=f"shorten it to at most {context - room} tokens",
            )
        outside = [token_id for token_id in ids if not 0 <= token_id < self.vocabulary]
        if outside:
            raise DataError(
                f"the token id {outside[0]} is outside the vocabulary (0 to {self.vocabulary - 1})",
                where=where,
                mend="use the ids of this model's own tokenizer",
            )
