"""The one loop that makes tokens, for one streaming row and for a batch alike.

Letters: B rows, T tokens, V vocabulary.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from luthier.engine.constrain import Grammar
from luthier.engine.draw import Draw, pick
from luthier.engine.logits import adjust, likely, without
from luthier.engine.ports import Answer, Finish, Likely
from luthier.engine.speaker import Speaker
from luthier.model.cache_word import cache_word


@dataclass
class Row:
    """One answer while it is being made."""

    prompt_ids: tuple[int, ...]
    limit: int
    """At most so many new tokens."""
    draw: Draw
    generator: torch.Generator
    speaker: Speaker
    grammar: Grammar | None = None
    """What the answer may be; None: anything."""
    top: int | None = None
    """How many of the likeliest tokens are told at each place; None: no log-probabilities."""
    most_seconds: float | None = None
    """The answer ends once its making has taken so long; None: whenever it ends."""
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[Likely] = field(default_factory=list)
    prompt_logprobs: tuple[Likely, ...] = ()
    finish: Finish | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token of the model's own logits is next, and nothing is told of the others."""
        return self.draw.is_plain and self.grammar is None and self.top is None

    def choose(self, logits_V: Tensor, stop_ids: frozenset[int]) -> int:
        """Give the next token, and remember how likely it was where that is to be told."""
        logits_V = adjust(logits_V.float().cpu(), self.draw, self.prompt_ids, self.token_ids)
        if self.grammar is not None:
            logits_V = self.grammar.mask(logits_V)
        if len(self.token_ids) < self.draw.min_tokens:
            logits_V = without(logits_V, stop_ids)
        token_id = pick(logits_V, self.draw, self.generator)
        if self.top is not None:
            self.logprobs.append(likely(logits_V, token_id, self.top))
        return token_id

    def take(self, token_id: int, stop_ids: frozenset[int], seconds: float = 0.0) -> str:
        """Add a token, made `seconds` after the first step began.

        Gives the text that became certain, and sets `finish` if this was the last token.
        """
        self.token_ids.append(token_id)
        early = len(self.token_ids) < self.draw.min_tokens
        is_end = token_id in stop_ids
        fresh = "" if is_end else self.speaker.hear(token_id, heeds_stop=not early)
        is_whole = self.grammar is not None and self.grammar.take(token_id)
        if is_end or is_whole or self.speaker.stopped:
            self.finish = "stop"
        elif len(self.token_ids) >= self.limit or (self.most_seconds is not None and seconds >= self.most_seconds):
            self.finish = "length"
        if self.finish:
            fresh += self.speaker.finish()
            if self.speaker.stopped:
                self.finish = "stop"
        return fresh

    def answer(self) -> Answer:
        """Give the answer as far as it has come."""
        ids, finish = tuple(self.token_ids), self.finish or "length"
        return Answer(
            self.speaker.text,
            ids,
            self.prompt_ids,
            finish,
            tuple(self.logprobs),
            prompt_logprobs=self.prompt_logprobs,
        )


def decode(
    model: Any, rows: Sequence[Row], stop_ids: frozenset[int], cancelled: Callable[[], bool]
) -> Iterator[list[tuple[Row, str]]]:
    """Make tokens until every row has its last one, or `cancelled()` is true.

    Gives, after each step, the rows that took a token, with the text that became certain. Rows that are finished
    leave the batch. Prompts are padded on the left, so that all rows add their next token at the same place.
    """
    live = list(rows)
    begun = time.monotonic()
    batch = _Batch(model, [row.prompt_ids for row in live])
    while live and not cancelled():
        logits_BV = batch.forward()
        ids: list[int] = logits_BV.argmax(dim=-1).tolist()
        for index, row in enumerate(live):
            if not row.is_plain:
                ids[index] = row.choose(logits_BV[index], stop_ids)
        seconds = time.monotonic() - begun
        yield [(row, row.take(token_id, stop_ids, seconds)) for row, token_id in zip(live, ids, strict=True)]
        kept = [index for index, row in enumerate(live) if row.finish is None]
        batch.go_on([ids[index] for index in kept], kept)
        live = [live[index] for index in kept]


class _Batch:
    """What the model is fed next, and the cache of what it was fed before."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self.model = model
        self.device = model.device
        self.takes = set(inspect.signature(_inner(model).forward).parameters)
        self.cache_word = cache_word(model)
        self.cache: Any = None
        width = max(len(prompt) for prompt in prompts)
        self.ids_BT = self._tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts])
        self.mask_BT = self._tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts])
        self.positions_BT = (self.mask_BT.cumsum(dim=1) - 1).clamp(min=0)
        self.is_padded = any(len(prompt) < width for prompt in prompts)

    def _tensor(self, rows: list[list[int]]) -> Tensor:
        return torch.tensor(rows, dtype=torch.long, device=self.device)

    @torch.inference_mode()
    def forward(self) -> Tensor:
        """Feed what is next. Gives the logits of the token that follows it, (B, V)."""
        asked: dict[str, Any] = {"position_ids": self.positions_BT, "logits_to_keep": 1}
        done = self.model(
            input_ids=self.ids_BT,
            attention_mask=self.mask_BT if self.is_padded else None,
            use_cache=True,
            **{self.cache_word: self.cache},
            **{name: value for name, value in asked.items() if name in self.takes},
        )
        self.cache = done[self.cache_word]
        logits_BV: Tensor = done.logits[:, -1]
        return logits_BV

    @torch.inference_mode()
    def go_on(self, ids: list[int], kept: list[int]) -> None:
        """Set the next token of each row that is kept, and let the other rows go."""
        if not kept:
            return
        if len(kept) < len(self.ids_BT):
            index = torch.tensor(kept, device=self.device)
            self.cache.batch_select_indices(index)
            self.mask_BT, self.positions_BT = self.mask_BT[index], self.positions_BT[index]
        self.ids_BT = self._tensor([[token_id] for token_id in ids])
        self.mask_BT = torch.cat([self.mask_BT, torch.ones_like(self.ids_BT)], dim=1)
        self.positions_BT = self.positions_BT[:, -1:] + 1


def _inner(model: Any) -> Any:
    """The transformers model, also where PEFT wraps it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model
