"""The ports: what a stage may ask of a model, whatever runs it and wherever it runs.

A knowledge base that answers, and an agent that acts, are `ChatModel`s too.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from luthier.artifact.example import Conversation, Example, Message
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError
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
    min_tokens: int = 0
    """No end before so many new tokens."""
    repetition_penalty: float | None = None
    """Divides the logits of tokens seen before, prompt included (arXiv:1909.05858); 1: none."""
    presence_penalty: float = 0.0
    """Taken off the logit of every token that was said before."""
    frequency_penalty: float = 0.0
    """Taken off the logit of every token, times how often it was said before."""
    logit_bias: tuple[tuple[int, float], ...] = ()
    """(token id, what is added to its logit)."""
    top_logprobs: int | None = None
    """How many of the likeliest tokens are told at each place beside the chosen one; None: no log-probabilities."""
    prompt_logprobs: int | None = None
    """How many of the likeliest tokens are told at each place of the prompt beside the one that stands there; None:
    nothing is told of the prompt."""
    json_schema: str | None = None
    """A JSON Schema as JSON text: the answer is a value that it allows, and nothing else. `{}`: any JSON value."""
    max_seconds: float | None = None
    """An answer that takes longer ends there, as one that is cut off."""


@dataclass(frozen=True)
class Likely:
    """How likely tokens were at one place of an answer: natural logarithms, after penalties, before temperature."""

    token_id: int
    """The token that was said."""
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """(token id, log-probability) of the likeliest, the likeliest first."""


@dataclass(frozen=True)
class Answer:
    """A finished answer. `token_ids` are the new tokens as the model said them, the stop token included."""

    text: str
    token_ids: tuple[int, ...]
    prompt_ids: tuple[int, ...]
    finish: Finish
    logprobs: tuple[Likely, ...] = ()
    """One for each new token, where they were asked for."""
    prompt_logprobs: tuple[Likely, ...] = ()
    """One for each token of the prompt but its first, where they were asked for."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else belongs to the answer, as plain JSON: a knowledge base's sources, an agent's steps."""
    counted: tuple[int, int] = (0, 0)
    """Tokens read and said as somebody else counted them, where their ids are not known."""

    @property
    def tokens_read(self) -> int:
        """How many tokens the prompt had; 0 where nobody tells."""
        return len(self.prompt_ids) or self.counted[0]

    @property
    def tokens_said(self) -> int:
        """How many tokens the answer had; 0 where nobody tells."""
        return len(self.token_ids) or self.counted[1]


@dataclass(frozen=True)
class Piece:
    """A bit of an answer while it is being said; the last one carries the whole answer."""

    text: str
    answer: Answer | None = None
    token_ids: tuple[int, ...] = ()
    """The tokens said since the piece before this one (a text may wait for the rest of its character)."""
    prompt_ids: tuple[int, ...] = ()
    """The prompt's tokens, on the first piece, where the engine knows them before the answer is whole."""
    logprobs: tuple[Likely, ...] = ()
    """Those of `token_ids`, where they were asked for."""


@runtime_checkable
class ChatModel(Protocol):
    """Anything that answers."""

    @property
    def name(self) -> str:
        """What it is called in `/v1/models` and in reports."""

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What sampling uses where a request says nothing, to be told to the user."""

    @property
    def takes(self) -> frozenset[str]:
        """The names of Sampling's fields it heeds; a wish for another is refused, never left out in silence."""

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        """Answer many prompts, batched as the engine likes best; answers come in the prompts' order.

        Raises DataError for a prompt that does not fit the context or holds ids outside the vocabulary, and for a
        wish that is not among `takes`.
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


@runtime_checkable
class Concurrent(Protocol):
    """A model that answers several streams at the same time; without this, `stream` is asked one at a time."""

    @property
    def at_once(self) -> int:
        """How many streams it takes at the same time, each in a thread of its own."""


@runtime_checkable
class Spelled(Protocol):
    """A model whose tokens are known here: prompts are counted and checked before it is asked."""

    @property
    def context(self) -> int:
        """The longest sequence it takes, prompt and answer together, in tokens."""

    @property
    def vocabulary(self) -> int:
        """How many token ids there are: 0 to this less one."""

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Give the ids a prompt is fed as; what is ids already comes back as it is. Raises as `stream` does."""

    def spell(self, token_ids: Sequence[int]) -> list[bytes]:
        """Give each token's own bytes, special tokens as they are written."""


@runtime_checkable
class Worded(Protocol):
    """A model whose tokens something else knows, or nothing: a model in other processes, or of several models."""

    @property
    def words(self) -> Spelled | None:
        """What knows them."""


@runtime_checkable
class Watched(Protocol):
    """A model whose engine may die or get stuck, as a process or a server does."""

    def ailing(self) -> str:
        """Give why it cannot answer just now, '' while it can. Returns at once and asks no token of it."""


@runtime_checkable
class Closing(Protocol):
    """A model that holds what must be given back (a process): after its last answer, perhaps twice."""

    def close(self) -> None:
        """Give it back."""


@runtime_checkable
class Embedder(Protocol):
    """Anything that turns texts into vectors."""

    @property
    def name(self) -> str:
        """What it is called: the model and its revision, so that equal names give equal vectors."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""

    @property
    def most_tokens(self) -> int:
        """The longest text it reads, in its own tokens; what is longer is cut off."""

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Give how many of its own tokens each text has, uncut."""

    def embed(self, texts: Sequence[str], role: Literal["query", "passage"], tell: Tell) -> npt.NDArray[np.float32]:
        """Give a vector of length 1 for each text, shape (texts, width); `role` says what the text is for."""


def close(model: object) -> None:
    """Let a model give back what it holds, if it holds something."""
    if isinstance(model, Closing):
        model.close()


def prompt_of(example: Example) -> Prompt:
    """Give what a chat's example asks: its messages before the answer, with their tools."""
    return Conversation(example.prompt, example.tools) if example.tools else example.prompt


def streams_at_once(model: ChatModel) -> int:
    """Give how many streams a model takes at the same time."""
    return max(1, model.at_once) if isinstance(model, Concurrent) else 1


def words_of(model: ChatModel) -> Spelled | None:
    """Give what knows a model's tokens: the model, or what it names; None where nothing here does."""
    if isinstance(model, Worded):
        return model.words
    return model if isinstance(model, Spelled) else None


ALWAYS_TAKEN = frozenset({"max_tokens", "temperature", "top_p", "top_k", "stop", "seed"})
"""What every engine heeds."""


def check_takes(model: ChatModel, sampling: Sampling) -> None:
    """Raise DataError if a request wishes for what the model does not heed."""
    plain = Sampling()
    for wish in fields(Sampling):
        value = getattr(sampling, wish.name)
        if value != getattr(plain, wish.name) and wish.name not in model.takes:
            raise DataError(
                f"{wish.name} is {value!r}, which the engine of {model.name!r} does not know",
                where=f"key {wish.name}",
                mend=f"leave it out, or serve the model by an engine that has it; this one has: "
                f"{', '.join(sorted(model.takes))}",
            )
