"""What is learned: the port the loop asks, and supervised fine-tuning behind it.

Letters: B rows, N tokens of a pass, S supervised tokens, D width, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor
from torch.autograd.graph import save_on_cpu
from torch.nn import functional

from luthier.artifact.tokens import Tokens
from luthier.learn.packing import Pass, fill, lay, total_weight
from luthier.model.attention import documents
from luthier.model.head import head_logprobs, head_loss, logit_form

Row = TypeVar("Row")


class Objective(Protocol[Row]):
    """What the loop asks: how to cut a step into passes, and the summed loss of one pass."""

    def passes(self, rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
        """Cut the rows of one step into parts that fit in memory; each row is in exactly one."""

    def weight(self, rows: Sequence[Row]) -> float:
        """Give what the summed loss is divided by: the supervised tokens of the rows, each by what it counts."""

    def tokens(self, rows: Sequence[Row]) -> int:
        """Give how many tokens the rows hold, supervised or not."""

    def loss(self, rows: Sequence[Row]) -> Tensor:
        """Give the loss summed over supervised tokens, in nats, a float32 scalar that can be differentiated."""

    def losses(self, rows: Sequence[Row]) -> Tensor:
        """Give each row's part of that sum, (B,), float32; it can be differentiated too."""


@dataclass(frozen=True)
class Supervised:
    """Next-token cross-entropy on the answers' tokens.

    `packed`: rows lie end to end in one pass and attend only to themselves; otherwise one row is one pass, through
    the model's own attention and head, which every architecture has.
    """

    model: Any
    packed: bool
    tokens_per_pass: int
    compiled: bool = False
    """Whether the model's layers were compiled: it bears on bits."""
    offload: bool = False
    """Whether what backward needs waits in the memory beside the CPU."""

    def passes(self, rows: Sequence[Tokens]) -> Iterator[Sequence[Tokens]]:
        """Fill as few passes of `tokens_per_pass` as hold the rows; unpacked, one row is one pass."""
        return fill(rows, self.tokens_per_pass) if self.packed else ([row] for row in rows)

    def weight(self, rows: Sequence[Tokens]) -> float:
        """Give what the supervised tokens count together; each counts 1 unless its row says otherwise."""
        return total_weight(rows)

    def tokens(self, rows: Sequence[Tokens]) -> int:
        """Give the number of tokens."""
        return sum(len(row.ids) for row in rows)

    def loss(self, rows: Sequence[Tokens]) -> Tensor:
        """Give the summed cross-entropy over supervised tokens, in nats, each by what it counts."""
        with self._keeping():
            return packed_loss(self.model, rows) if self.packed else plain_loss(self.model, rows)

    def losses(self, rows: Sequence[Tokens]) -> Tensor:
        """Give each row's summed loss, (B,), float32; it can be differentiated, each row by itself."""
        with self._keeping():
            if not self.packed:
                return torch.stack([plain_loss(self.model, [row]) for row in rows])
            return packed_losses(self.model, rows)

    def _keeping(self) -> AbstractContextManager[Any]:
        return save_on_cpu(pin_memory=self.model.device.type == "cuda") if self.offload else nullcontext()


def packed_losses(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """Give each row's summed loss, (B,), of rows laid end to end, each attending only to itself."""
    laid, hidden_SD = _hidden(model, rows)
    found_S = -head_logprobs(hidden_SD, model.get_output_embeddings(), laid.target, _form(model))
    found_S = found_S if laid.weight is None else found_S * laid.weight
    return found_S.new_zeros(len(rows)).index_add(0, laid.row, found_S)


def packed_loss(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """Sum the loss of rows laid end to end, each attending only to itself."""
    laid, hidden_SD = _hidden(model, rows)
    return head_loss(hidden_SD, model.get_output_embeddings(), laid.target, laid.weight, _form(model))


def _form(model: Any) -> Any:
    return logit_form(model.config)


def _hidden(model: Any, rows: Sequence[Tokens]) -> tuple[Pass, Tensor]:
    """Give the rows' pass, and the decoder's last hidden states where a supervised token is predicted, (S, D)."""
    # only attention by matrix products takes a common prefix; an accelerator's kernels are faster without one
    laid = lay(rows, share=model.device.type == "cpu", device=model.device)
    with documents(laid.spans, laid.prefix, laid.before) as row:
        decoder = model.get_decoder()
        hidden_ND = decoder(
            input_ids=laid.ids[None], position_ids=laid.positions[None], use_cache=False
        ).last_hidden_state[0]
    layers = model.config.get_text_config().num_hidden_layers
    if row.calls != layers:
        raise NotImplementedError(f"{row.calls} of {layers} layers attend through the interface")
    return laid, hidden_ND if row.is_narrow else hidden_ND[laid.before]


def plain_loss(model: Any, rows: Sequence[Tokens]) -> Tensor:
    """Sum the loss of rows one by one through the model's own forward pass."""
    total = torch.zeros((), device=model.device)
    for row in rows:
        laid = lay([row], share=False, device=model.device)
        logits_NV = model(input_ids=laid.ids[None], use_cache=False).logits[0]
        loss_S = functional.cross_entropy(logits_NV[laid.before].float(), laid.target, reduction="none")
        total = total + (loss_S.sum() if laid.weight is None else loss_S @ laid.weight)
    return total
