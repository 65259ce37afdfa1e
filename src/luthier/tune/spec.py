"""What one may ask of `tune`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from luthier.spec import Spec

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
"""What both torch and numpy take."""


def _names(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """One form for one name and for a list of one, so that both give the same artifact."""
    return (value,) if isinstance(value, str) and value != "all-linear" else value


class AdapterSpec(Spec):
    """What is added to the model and trained in its place."""

    kind: Literal["lora"] = "lora"
    """LoRA: two thin matrices beside each chosen linear layer (arXiv:2106.09685)."""
    r: Positive = 16
    """Rank of the matrices."""
    alpha: Annotated[float, Field(gt=0)] | Literal["2r"] = "2r"
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs that are dropped while training."""
    targets: Annotated[str | tuple[str, ...], AfterValidator(_names), Field(min_length=1)] = "all-linear"
    """Names of the linear layers that get one, such as q_proj; all-linear: every one but the head."""

    @property
    def scale_alpha(self) -> float:
        """Alpha as a number."""
        return 2.0 * self.r if self.alpha == "2r" else float(self.alpha)


class LearnSpec(Spec):
    """How weights change."""

    rate: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate, per optimizer step."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """How the rate goes down after warm-up."""
    warmup_share: Share = 0.03
    """Share of the steps over which the rate rises from 0."""
    epochs: Annotated[float, Field(gt=0)] = 1.0
    """How often each row is seen; part of an epoch is rounded up to whole steps."""
    rows_per_step: Positive = 8
    """Rows whose gradients are added up before the weights change."""
    tokens_per_pass: Positive = 4096
    """Most tokens computed at once: bounds memory, changes no result."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """AdamW's decay of the trained weights, per step, times the rate."""
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    """Longest gradient; a longer one is scaled down to it."""
    dev_every_steps: Positive = 50
    """How often the loss on the dev rows is computed."""


class CheckpointSpec(Spec):
    """What is kept while a run goes on."""

    every_steps: Positive = 50
    """How often the state is saved."""
    keep: Positive = 2
    """How many of the newest are kept."""


class TuneSpec(Spec):
    """Supervised fine-tuning with an adapter."""

    adapter: AdapterSpec = AdapterSpec()
    """What is trained."""
    learn: LearnSpec = LearnSpec()
    """How it changes."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """What is saved on the way."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where it is computed."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Format of frozen weights and activations; the adapter is float32 always."""
    seed: Seed = 0
    """Draws the adapter's start and the order of the rows."""
