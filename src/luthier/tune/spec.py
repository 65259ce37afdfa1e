"""What one may ask of `tune`."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from luthier.spec import Spec

Positive = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=1 << 63)]
"""What both torch and numpy take."""


def _names(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
    """One form for one name and for a list of one, so that both give the same artifact."""
    return (value,) if isinstance(value, str) and value != "all-linear" else value


def _on_or_off(value: object) -> object:
    """YAML takes a bare `on` and `off` for truths."""
    return {True: "on", False: "off"}.get(value, value) if isinstance(value, bool) else value


def _is_amount(value: str) -> str:
    if not re.fullmatch(r"\s*[0-9]*\.?[0-9]+\s*([kKmMgGtT][iI]?[bB])?\s*", value):
        raise ValueError("should be bytes as people write them, such as 24GB or 500 MB")
    return value


Amount = Annotated[str, AfterValidator(_is_amount)]
"""Bytes as people write them: 24GB, 500 MB."""


class AdapterSpec(Spec):
    """What is added to the model and trained in its place."""

    kind: Literal[
        "lora",
        "rslora",
        "dora",
        "pissa",
        "lora_plus",
        "adalora",
        "ia3",
        "vera",
        "prefix",
        "prompt",
        "p_tuning",
        "full",
        "freeze",
    ] = "lora"
    """How it is tuned: by an adapter beside the weights, virtual tokens before the text, or its own weights."""
    r: Positive = 16
    """Rank of the matrices."""
    alpha: Annotated[float, Field(gt=0)] | Literal["2r"] = "2r"
    """Scale: the adapter's output is multiplied by alpha / r."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the adapter's inputs that are dropped while training."""
    targets: Annotated[str | tuple[str, ...], AfterValidator(_names), Field(min_length=1)] = "all-linear"
    """Names of the linear layers that get one, such as q_proj, or `re:` and a pattern; all-linear: all but the head."""
    save: tuple[str, ...] = ()
    """Modules trained whole and saved beside the adapter, such as lm_head."""
    plus_ratio: Annotated[float, Field(gt=0)] = 16.0
    """LoRA+: how many times A's rate B learns at (arXiv:2402.12354, section 5)."""
    tokens: Positive = 20
    """Virtual tokens of prefix, prompt and p_tuning."""
    layers: Positive = 2
    """How many of the last layers freeze trains."""

    @property
    def scale_alpha(self) -> float:
        """Alpha as a number."""
        return 2.0 * self.r if self.alpha == "2r" else float(self.alpha)


class LearnSpec(Spec):
    """How weights change."""

    rate: Annotated[float, Field(gt=0)] = 3e-4
    """Peak learning rate, per optimizer step."""
    schedule: Literal["constant", "linear", "cosine", "wsd"] = "cosine"
    """How the rate goes down after warm-up; wsd: stable, then a fall over the last fifth."""
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit", "adafactor", "lion", "muon", "galore", "sgd"] = (
        "adamw"
    )
    """What turns gradients into steps; those of 8 bits save memory, galore is for full tuning."""
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
    packing: Literal["auto", "always", "never"] = "auto"
    """Whether rows lie end to end in one pass, each attending only to itself; auto: where it gives the same loss."""
    compile: Annotated[Literal["auto", "on", "off"], BeforeValidator(_on_or_off)] = "auto"
    """Whether layers are compiled (40 s, then some 6 % faster on a CPU); auto: where the run is long enough."""
    checkpoint_activations: bool = False
    """Whether each layer is computed once more for backward, so that only its input is kept: slower, less memory."""
    offload_activations: bool = False
    """Whether what backward needs waits in the memory beside the CPU, not on the accelerator."""
    noise: Annotated[float, Field(ge=0)] = 0.0
    """NEFTune: strength of the noise on embeddings while training (arXiv:2310.05914; 5 is usual); 0: none."""
    keep_best: bool = False
    """Whether the weights with the lowest dev loss come out, not the last."""
    stop_after_worse: Positive | None = None
    """Stop early once the dev loss was so many times in a row no better than its lowest; None: never."""
    shard: Literal["none", "full", "offload"] = "none"
    """Whether several processes hold a part of the weights each (FSDP2), offload: with the rest in main memory."""
    ledger: bool = True
    """Whether each row's losses are noted: which were learned, memorised, or look mislabelled (`ledger.jsonl`)."""
    sample: Annotated[int, Field(ge=0)] = 0
    """Dev questions answered at every dev loss, for word F1 against their references; 0: none."""


class CheckpointSpec(Spec):
    """What is kept while a run goes on."""

    every_steps: Positive = 50
    """How often the state is saved."""
    keep: Positive = 2
    """How many of the newest are kept."""


class TuneSpec(Spec):
    """Fine-tuning: of chats, plain text, or classes; with an adapter, or of the weights themselves."""

    adapter: AdapterSpec = AdapterSpec()
    """What is trained."""
    learn: LearnSpec = LearnSpec()
    """How it changes."""
    checkpoint: CheckpointSpec = CheckpointSpec()
    """What is saved on the way."""
    quantize: Literal["none", "nf4", "int8"] = "none"
    """Bits of the frozen weights while adapters are trained: nf4 is QLoRA (arXiv:2305.14314); none: as they come."""
    device_map: Literal["none", "auto"] = "none"
    """auto: layers that find no room on the device lie on others like it, in main memory, then on disk, and come when
    they are computed. Slow; for models larger than a device."""
    max_memory: dict[str, Amount] = Field(default_factory=dict)
    """With device_map=auto, most that weights may take of a place (`{cuda: 20GB, cpu: 30GB}`); else six tenths of
    what is free."""
    general_probe: bool = True
    """Whether the loss on a few general questions is watched, so that forgetting is noticed."""
    track: tuple[Literal["tensorboard", "mlflow", "swanlab", "wandb", "trackio"], ...] = ("tensorboard",)
    """Where loss and rates are logged besides the run's own events."""
    device: Literal["auto", "cpu", "cuda", "mps", "xpu", "npu"] = "auto"
    """Where it is computed."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Format of frozen weights and activations; the adapter is float32 always."""
    seed: Seed = 0
    """Draws the adapter's start and the order of the rows."""
