"""What is learned: the port the loop asks, and supervised fine-tuning behind it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from luthier.artifact.tokens import Tokens
from luthier.event import Chose, Tell
from luthier.model.attention import NAME as DOCUMENTS
from luthier.model.attention import documents
from luthier.model.head import head_loss

Row = TypeVar("Row")


class Objective(Protocol[Row]):
    """What the loop asks: how to cut a step into passes, and the summed loss of one pass."""

    def passes(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Cut the rows of one step into parts that fit in memory; each row is in exactly one."""

    def weight(self, rows: Sequence[Row]) -> int:
        """Give what the summed loss is divided by: the supervised tokens of the rows."""

    def tokens(self, rows: Sequence[Row]) -> int:
        """Give how many tokens the rows hold, supervised or not."""

    def loss(self, rows: Sequence[Row]) -> Tensor:
        """Give the loss summed over supervised tokens, in nats, a float32 scalar that can be differentiated."""


@dataclass(frozen=True)
class Supervised:
    """Next-token cross-entropy on the answers' tokens.

    `packed`: rows lie end to end in one pass and attend only to themselves; otherwise one row is one pass, through
    the model's own attention and head, which every architecture has.
    """

    model: Any
    packed: bool
    tokens_per_pass: int

    def passes(self, rows: Sequence[Tokens]) -> Iterator[Sequence[Tokens]]:
        """Fill passes in order up to `tokens_per_pass`; a longer row has a pass of its own."""
        part: list[Tokens] = []
        for row in rows:
            if part and (not self.packed or self.tokens(part) + len(row.ids) > self.tokens_per_pass):
                yield part
                part = []
            part.append(row)
        if part:
            yield part

    def weight(self, rows: Sequence[Tokens]) -> int:
        """Give the number of supervised tokens."""
        return sum(row.supervised for row in rows)

    def tokens(self, rows: Sequence[Tokens]) -> int:
        """Give the number of tokens."""
        return sum(len(row.ids) for row in rows)

    def loss(self, rows: Sequence[Tokens]) -> Tensor:
        """Give the summed cross-entropy over supervised tokens, in nats."""
        return packed_loss(self.model, rows) if self.packed else plain_loss(self.model, rows)


def packed_loss(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """Sum the loss of rows laid end to end, each attending only to itself. The head must be frozen and linear."""
    device = model.device
    ends = np.cumsum([0, *(len(row.ids) for row in rows)]).tolist()
    spans = list(pairwise(ends))
    ids = torch.from_numpy(np.concatenate([row.ids for row in rows])).long().to(device)
    positions = torch.cat([torch.arange(end - begin) for begin, end in spans]).to(device)
    # a row's first token is predicted from nothing, so its mask never counts
    learned = [begin + place for tokens, (begin, _) in zip(rows, spans, strict=True) for place in _places(tokens)]
    target = torch.tensor(learned, dtype=torch.long, device=device)
    with documents(spans) as row:
        decoder = model.get_decoder()
        hidden_TD = decoder(input_ids=ids[None], position_ids=positions[None], use_cache=False).last_hidden_state[0]
    layers = model.config.get_text_config().num_hidden_layers
    if row.calls != layers:
        raise NotImplementedError(f"{row.calls} of {layers} layers attend through the interface")
    return head_loss(hidden_TD[target - 1], model.get_output_embeddings(), ids[target])


def plain_loss(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """Sum the loss of rows one by one through the model's own forward pass."""
    total = torch.zeros((), device=model.device)
    for row in rows:
        ids = torch.from_numpy(row.ids).long().to(model.device)
        target = torch.tensor(_places(row), dtype=torch.long, device=model.device)
        logits_TV = model(input_ids=ids[None], use_cache=False).logits[0]
        total = total + functional.cross_entropy(logits_TV[target - 1].float(), ids[target], reduction="sum")
    return total


def _places(row: Tokens) -> list[int]:
    return [int(place) for place in np.flatnonzero(row.mask[1:]) + 1]


def supervised(model: Any, rows: Sequence[Tokens], tokens_per_pass: int, tell: Tell) -> Supervised:
    """Choose how to compute the loss on this architecture by trying it: packed if that equals one by one.

    `rows` are a few training rows to try it on.
    """
    packed, why = _try_packed(model, rows)
    tell(Chose("passes", "packed" if packed else "one example each", why))
    return Supervised(model, packed, tokens_per_pass)


def _try_packed(model: Any, rows: Sequence[Tokens]) -> tuple[bool, str]:
    probe = [Tokens(row.ids[:64], np.ones(len(row.ids[:64]), np.bool_)) for row in rows[:3]]
    own = model.config._attn_implementation
    # the same sums in another order: float32 keeps 24 bits, bfloat16 8
    tolerance = 1e-4 if model.dtype == torch.float32 else 5e-3
    with torch.no_grad():
        try:
            model.set_attn_implementation("eager")  # the fused kernel of a CPU is 0.02 nat per token off in bfloat16
            expected = float(plain_loss(model, probe))
            model.set_attn_implementation(DOCUMENTS)
            found = float(packed_loss(model, probe))
        except (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError, IndexError) as error:
            model.set_attn_implementation(own)
            return False, f"this architecture cannot be packed here: {str(error).splitlines()[0]}"
    difference = abs(found - expected) / sum(len(row.ids) - 1 for row in probe)
    if difference > tolerance:
        model.set_attn_implementation(own)
        return False, f"packed and plain losses differ by {difference:.2g} nat per token on a probe"
    return True, f"packed and plain losses agree on a probe (to {difference:.1g} nat per token)"
