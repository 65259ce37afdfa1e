"""Classes and numbers from texts: a linear layer over what the decoder makes of each text's last token.

Letters: B texts of a pass, T tokens of the packed row, D width, C classes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from luthier.artifact.tokens import Tokens
from luthier.event import Chose, Tell
from luthier.model.attention import NAME as DOCUMENTS
from luthier.model.attention import documents

Problem = Literal["single_label_classification", "multi_label_classification", "regression"]
"""What transformers calls them."""


@dataclass(frozen=True)
class Labelled:
    """A text and what it is: a class's number, 0 or 1 for each class, or one number."""

    tokens: Tokens
    label: int | float | tuple[float, ...]


@dataclass(frozen=True)
class Classified:
    """Cross-entropy over classes, over each class alone where a text has several, or squared error of a number."""

    model: Any
    problem: Problem
    packed: bool
    tokens_per_pass: int

    def passes(self, rows: Sequence[Labelled]) -> Iterator[Sequence[Labelled]]:
        """Fill passes in order up to `tokens_per_pass`; unpacked, one text is one pass."""
        part: list[Labelled] = []
        for row in rows:
            if part and (not self.packed or self.tokens(part) + len(row.tokens.ids) > self.tokens_per_pass):
                yield part
                part = []
            part.append(row)
        if part:
            yield part

    def weight(self, rows: Sequence[Labelled]) -> float:
        """Give the number of texts."""
        return len(rows)

    def tokens(self, rows: Sequence[Labelled]) -> int:
        """Give the number of tokens."""
        return sum(len(row.tokens.ids) for row in rows)

    def loss(self, rows: Sequence[Labelled]) -> Tensor:
        """Give the loss summed over texts, in nats (squared units of the number, for regression)."""
        return self.losses(rows).sum()

    def losses(self, rows: Sequence[Labelled]) -> Tensor:
        """Give each text's loss, (B,)."""
        scores_BC = self.scores(rows)
        if self.problem == "single_label_classification":
            target_B = torch.tensor([row.label for row in rows], device=scores_BC.device)
            return functional.cross_entropy(scores_BC, target_B, reduction="none")
        target = torch.tensor([row.label for row in rows], dtype=torch.float32, device=scores_BC.device)
        if self.problem == "regression":
            return (scores_BC.squeeze(1) - target).square()
        return functional.binary_cross_entropy_with_logits(scores_BC, target, reduction="none").mean(1)

    def scores(self, rows: Sequence[Labelled]) -> Tensor:
        """Give the scores of each text, (B, C), float32."""
        hidden = packed_ends(self.model, rows) if self.packed else plain_ends(self.model, rows)
        head = _head(self.model)
        return head(hidden.to(next(head.parameters()).dtype)).float()  # type: ignore[no-any-return]

    def predict(self, rows: Sequence[Labelled]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Give the scores of many texts, (N, C), pass by pass."""
        with torch.no_grad():
            parts = [self.scores(part).cpu().numpy() for part in self.passes(rows)]
        return np.concatenate(parts)


def packed_ends(model: Any, rows: Sequence[Labelled]) -> Tensor:
    """Give the hidden state of each text's last token, (B, D), texts lying end to end."""
    ends = np.cumsum([0, *(len(row.tokens.ids) for row in rows)]).tolist()
    spans = list(pairwise(ends))
    ids = torch.from_numpy(np.concatenate([row.tokens.ids for row in rows])).long().to(model.device)
    positions = torch.cat([torch.arange(end - begin) for begin, end in spans]).to(model.device)
    with documents(spans) as row:
        hidden_TD = model.base_model(
            input_ids=ids[None], position_ids=positions[None], use_cache=False
        ).last_hidden_state[0]
    if row.calls != model.config.get_text_config().num_hidden_layers:
        raise NotImplementedError("not every layer attends through the interface")
    last: Tensor = hidden_TD[torch.tensor(ends[1:], device=model.device) - 1]
    return last


def plain_ends(model: Any, rows: Sequence[Labelled]) -> Tensor:
    """Give the same text by text, through the model's own attention."""
    found = []
    for row in rows:
        ids = torch.from_numpy(row.tokens.ids).long().to(model.device)
        found.append(model.base_model(input_ids=ids[None], use_cache=False).last_hidden_state[0, -1])
    return torch.stack(found)


def classified(
    model: Any, rows: Sequence[Labelled], problem: Problem, tokens_per_pass: int, packing: str, tell: Tell
) -> Classified:
    """Choose how to compute by trying: packed, if that gives what one text at a time gives."""
    packed, why = (False, "learn.packing=never") if packing == "never" else _try_packed(model, rows)
    tell(Chose("passes", "packed" if packed else "one example each", why))
    return Classified(model, problem, packed, tokens_per_pass)


def _try_packed(model: Any, rows: Sequence[Labelled]) -> tuple[bool, str]:
    probe = [Labelled(Tokens(row.tokens.ids[:64], row.tokens.mask[:64]), row.label) for row in rows[:3]]
    own = model.config._attn_implementation
    with torch.no_grad():
        try:
            model.set_attn_implementation("eager")
            expected = plain_ends(model, probe).float()
            model.set_attn_implementation(DOCUMENTS)
            found = packed_ends(model, probe).float()
        except (ValueError, NotImplementedError, AttributeError, TypeError, RuntimeError, IndexError) as error:
            model.set_attn_implementation(own)
            return False, f"this architecture cannot be packed here: {str(error).splitlines()[0]}"
    difference = float((found - expected).norm() / expected.norm())
    if difference > (1e-4 if model.dtype == torch.float32 else 3e-2):
        model.set_attn_implementation(own)
        return False, f"packed and plain hidden states differ by {difference:.2g} on a probe"
    return True, f"packed and plain hidden states agree on a probe (to {difference:.1g})"


def _head(model: Any) -> Any:
    return model.score if hasattr(model, "score") else model.classifier
