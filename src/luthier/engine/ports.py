"""The ports: what a stage may ask of a model, whatever runs it and wherever it runs.

A knowledge base that answers, and an agent that acts, are `ChatModel`s too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import Conversation, Message
from luthier.artifact.tokens import Tokens
from luthier.event import Tell

Prompt = tuple[Message, ...] | Conversation | str | tuple[int, ...]
"""A conversation, without tools or with them (the chat template is applied), a plain text, or token ids (both taken as
they are)."""

Finish = Literal["stop", "length"]
"""Why an answer ended: the model (or a stop string) ended it, or its length did."""

CONTEXT = "the model's context"
"""How the `where` of a DataError ends if a prompt does not fit."""


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn. None means: what the model's own `generation_config.json` says."""

    max_tokens: int | None = None
    """At most so many new tokens; None: up to the context's end."""
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    """Texts that end the answer; they are not part of it."""
    seed: int | None = None
    """Makes a drawn answer repeatable."""


@dataclass(frozen=True)
class Answer:
    """A finished answer. `token_ids` are the new tokens as the model said them, the stop token included."""

    text: str
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish: Finish


@dataclass(frozen=True)
class Piece:
    """A bit of an answer while it is being said; the last one carries the whole answer."""

    text: str
    answer: Answer | None = None
    token_ids: tuple[int, ...] = ()
    """The tokens said since the piece before this one (a text may wait for the rest of its character)."""
    prompt_ids: tuple[int, ...] = ()
    """The prompt's tokens, on the first piece, where the engine knows them before the answer is whole."""


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers."""

    @property
    def name(self) -> str:
        """What it is called in `/v1/models` and in reports."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What sampling uses where a request says nothing, to be told to the user."""

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        """Answer many prompts, batched as the engine likes best; answers come in the prompts' order.

        Raises DataError for a prompt that does not fit the context or holds ids outside the vocabulary.
        """

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece; stops within one token once `cancelled()` is true."""


@runtime_checkable
class Scorer(Protocol):
    """A model whose log-probabilities can be asked."""

    def score(self, rows: Sequence[Tokens], tell: Tell) -> list[npt.NDArray[np.float64]]:
        """Give, for each row, the natural log-probability of each of its supervised tokens, shape (supervised,)."""


class LocalChatModel(ChatModel, Scorer, Protocol):
    """A model in this process: it answers and can be scored."""
