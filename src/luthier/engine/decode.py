"""The one loop that makes tokens, for one streaming row and for a batch alike.

Letters: B rows, T tokens, V vocabulary.
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from luthier.engine.draw import Draw, choose
from luthier.engine.ports import Answer, Finish
from luthier.engine.speaker import Speaker


@dataclass
class Row:
    """One answer while it is being made."""

    prompt_ids: tuple[int, ...]
    limit: int
    """At most so many new tokens."""
    draw: Draw
    generator: torch.Generator
    speaker: Speaker
    token_ids: list[int] = field(default_factory=list)
    finish: Finish | None = None

    def take(self, token_id: int, stop_ids: frozenset[int]) -> str:
        """Add a token. Gives the text that became certain, and sets `finish` if this was the last token."""
        self.token_ids.append(token_id)
        fresh = "" if token_id in stop_ids else self.speaker.hear(token_id)
        if token_id in stop_ids or self.speaker.stopped:
            self.finish = "stop"
        elif len(self.token_ids) >= self.limit:
            self.finish = "length"
        if self.finish:
            fresh += self.speaker.finish()
            if self.speaker.stopped:
                self.finish = "stop"
        return fresh

    def answer(self) -> Answer:
        """Give the answer as far as it has come."""
        return Answer(self.speaker.text, tuple(self.token_ids), self.prompt_ids, self.finish or "length")


def decode(
    model: Any, rows: Sequence[Row], stop_ids: frozenset[int], cancelled: Callable[[], bool]
) -> Iterator[list[tuple[Row, str]]]:
    """Make tokens until every row has its last one, or `cancelled()` is true.

    Gives, after each step, the rows that took a token, with the text that became certain. Rows that are finished
    leave the batch. Prompts are padded on the left, so that all rows add their next token at the same place.
    """
    live = list(rows)
    batch = _Batch(model, [row.prompt_ids for row in live])
    while live and not cancelled():
        logits_BV = batch.forward()
        seen = [(*row.prompt_ids, *row.token_ids) if row.draw.repetition_penalty != 1 else () for row in live]
        ids = choose(logits_BV, [row.draw for row in live], seen, [row.generator for row in live])
        yield [(row, row.take(token_id, stop_ids)) for row, token_id in zip(live, ids, strict=True)]
        kept = [index for index, row in enumerate(live) if row.finish is None]
        batch.go_on([ids[index] for index in kept], kept)
        live = [live[index] for index in kept]


class _Batch:
    """What the model is fed next, and the cache of what it was fed before."""

    def __init__(self, model: Any, prompts: Sequence[Sequence[int]]) -> None:
        self.model = model
        self.device = model.device
        self.takes = set(inspect.signature(_inner(model).forward).parameters)
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
            past_key_values=self.cache,
            use_cache=True,
            **{name: value for name, value in asked.items() if name in self.takes},
        )
        self.cache = done.past_key_values
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
