"""The ways to tune a model, each a row: what PEFT is asked for, and what has to be known before one takes it."""

import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from peft.utils.constants import (
    TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
    TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
)
from peft.utils.other import ModulesToSaveWrapper
from torch import nn
from transformers.pytorch_utils import Conv1D

from luthier.errors import SpecError
from luthier.model.away import stand_ins

ALL_LINEAR = "all-linear"
PATTERN = "re:"
"""Before a target that is a regular expression over whole names."""


@dataclass(frozen=True)
class Wishes:
    """What one may ask of a method; each takes what concerns it."""

    r: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: Sequence[str] | str = "all-linear"
    save: Sequence[str] = ()
    """Modules trained whole and saved with the adapter."""
    tokens: int = 20
    """Virtual tokens of prefix, prompt and p-tuning."""
    layers: int = 2
    """Last layers that `freeze` trains."""
    steps: int = 1
    """Optimizer steps of the run, for AdaLoRA's plan."""
    task: str = "CAUSAL_LM"
    """What PEFT calls the task: CAUSAL_LM or SEQ_CLS."""


@dataclass(frozen=True)
class Method:
    """One row."""

    about: str
    config: Callable[[Any, Wishes], PeftConfig] | None
    """None: the model's own weights are trained."""
    packs: bool = True
    """Whether rows may lie end to end; virtual tokens stand before each row, so theirs may not."""
    on_quantized: bool = True
    """Whether it works on weights of 4 or 8 bits."""


def _lora(**more: Any) -> Callable[[Any, Wishes], PeftConfig]:
    def make(model: Any, wishes: Wishes) -> PeftConfig:
        return LoraConfig(
            r=wishes.r,
            lora_alpha=wishes.alpha,
            lora_dropout=wishes.dropout,
            target_modules=_targets(model, wishes),
            modules_to_save=list(wishes.save) or None,
            task_type=wishes.task,
            fan_in_fan_out=_is_transposed(model),
            **more,
        )

    return make


def _adalora(model: Any, wishes: Wishes) -> PeftConfig:
    """Begin with half as much rank again and end with r on average; section 4 of the paper gives these shares."""
    return AdaLoraConfig(
        init_r=max(wishes.r + 1, wishes.r * 3 // 2),
        target_r=wishes.r,
        lora_alpha=wishes.alpha,
        lora_dropout=wishes.dropout,
        target_modules=_targets(model, wishes),
        modules_to_save=list(wishes.save) or None,
        tinit=wishes.steps // 10,
        tfinal=max(1, wishes.steps // 2),
        deltaT=max(1, wishes.steps // 100),
        total_step=max(wishes.steps, 3),
        task_type=wishes.task,
        fan_in_fan_out=_is_transposed(model),
    )


def _ia3(model: Any, wishes: Wishes) -> PeftConfig:
    """Scale keys, values and the inner activations; which layers these are, PEFT knows by the architecture."""
    kind = str(model.config.get_text_config().model_type)
    targets, inner = wishes.targets, TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING.get(kind)
    if targets == "all-linear":
        targets = TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING.get(kind) or _shaped_like_llama(model)
        inner = inner if inner is not None else ["down_proj"]
    chosen = [targets] if isinstance(targets, str) else list(targets)
    return IA3Config(
        target_modules=chosen,
        feedforward_modules=[name for name in chosen if name in (inner or ())],
        modules_to_save=list(wishes.save) or None,
        task_type=wishes.task,
        fan_in_fan_out=_is_transposed(model),
    )


def _shaped_like_llama(model: Any) -> list[str]:
    leaves = {name.rpartition(".")[2] for name, _ in linears(model)}
    wanted = ["k_proj", "v_proj", "down_proj"]
    if set(wanted) <= leaves:
        return wanted
    raise SpecError(
        f"which layers IA3 scales is not known for {model.config.model_type!r}",
        where="key adapter.targets",
        mend=f"name keys, values and the last layer of the MLP yourself; this model has: {', '.join(sorted(leaves))}",
    )


def _vera(model: Any, wishes: Wishes) -> PeftConfig:
    return VeraConfig(
        r=wishes.r,
        target_modules=_targets(model, wishes),
        vera_dropout=wishes.dropout,
        modules_to_save=list(wishes.save) or None,
        task_type=wishes.task,
        fan_in_fan_out=_is_transposed(model),
    )


def _virtual(kind: type[Any], **more: Any) -> Callable[[Any, Wishes], PeftConfig]:
    def make(model: Any, wishes: Wishes) -> PeftConfig:
        config: PeftConfig = kind(
            num_virtual_tokens=wishes.tokens,
            modules_to_save=list(wishes.save) or None,
            task_type=wishes.task,
            **more,
        )
        return config

    return make


METHODS: dict[str, Method] = {
    "lora": Method("two thin matrices beside each chosen layer (arXiv:2106.09685)", _lora()),
    "rslora": Method("LoRA scaled by alpha / sqrt(r), for large r (arXiv:2312.03732)", _lora(use_rslora=True)),
    "dora": Method("LoRA for the direction, a vector for the length (arXiv:2402.09353)", _lora(use_dora=True)),
    "pissa": Method(
        "LoRA that begins with the largest singular directions of the weights (arXiv:2404.02948)",
        _lora(init_lora_weights="pissa"),
        on_quantized=False,
    ),
    "lora_plus": Method("LoRA whose B learns faster than its A (arXiv:2402.12354)", _lora()),
    "adalora": Method("LoRA that moves its rank to where it matters (arXiv:2303.10512)", _adalora),
    "ia3": Method("a vector that scales keys, values and inner activations (arXiv:2205.05638)", _ia3),
    "vera": Method("shared random matrices, only vectors learned (arXiv:2310.11454)", _vera, on_quantized=False),
    "prefix": Method(
        "learned keys and values before each layer's own (arXiv:2101.00190)", _virtual(PrefixTuningConfig), packs=False
    ),
    "prompt": Method("learned vectors before the text (arXiv:2104.08691)", _virtual(PromptTuningConfig), packs=False),
    "p_tuning": Method(
        "learned vectors out of a small network (arXiv:2103.10385)",
        _virtual(PromptEncoderConfig, encoder_hidden_size=128),
        packs=False,
    ),
    "full": Method("every weight of the model", None, on_quantized=False),
    "freeze": Method("the weights of the last layers", None, on_quantized=False),
}


def put_on(model: Any, kind: str, wishes: Wishes, seed: int) -> Any:
    """Make what is trained: a PEFT model around `model`, seeded, its new weights float32; or, for `full` and
    `freeze`, `model` itself with the right weights set to be trained.

    Raises SpecError if a target names no layer (the nearest are listed), if r is larger than a layer, or if there are
    not that many layers.
    """
    config = METHODS[kind].config
    if config is None:
        choose_own(model, kind, wishes.layers)
        return model
    if METHODS[kind].packs:
        check_targets(model, wishes)
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        with warnings.catch_warnings():  # peft 0.21 asks a name which transformers 5.23 calls old
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*")
            # its own patterns for experts that are one tensor, which these models may not have
            warnings.filterwarnings("ignore", message=".*_pattern keys did not match.*")
            # a tied head that is trained whole is a copy of its own, in the adapter's file too
            warnings.filterwarnings("ignore", message="Model has `tie_word_embeddings=True`")
            with stand_ins(model):
                adapted = get_peft_model(model, config(model, wishes))
    finally:
        torch.random.set_rng_state(state)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    for module in adapted.modules():
        if isinstance(module, ModulesToSaveWrapper):
            for whole in module.modules_to_save.values():
                _compute_wide(whole, model.dtype)
    return adapted


def _compute_wide(whole: nn.Module, narrow: torch.dtype) -> None:
    """Let a module whose weights became float32 stand among narrower ones: what goes in is widened, what comes out
    narrowed."""

    def cast(value: Any, dtype: torch.dtype) -> Any:
        return value.to(dtype) if isinstance(value, torch.Tensor) and value.is_floating_point() else value

    def widen(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(cast(value, torch.float32) for value in given)

    def narrowed(module: nn.Module, given: tuple[Any, ...], found: Any) -> Any:
        return cast(found, narrow)

    if narrow != torch.float32:
        whole.register_forward_pre_hook(widen)
        whole.register_forward_hook(narrowed)


def choose_own(model: Any, kind: str, layers: int) -> None:
    """Set which of a model's own weights are trained: all of them, or its last `layers` layers."""
    model.requires_grad_(kind == "full")
    if kind == "full":
        return
    count = int(model.config.get_text_config().num_hidden_layers)
    if layers > count:
        raise SpecError(
            f"adapter.layers is {layers}, the model has {count}", where="key adapter.layers", mend=f"set 1 to {count}"
        )
    last = {str(number) for number in range(count - layers, count)}
    for name, parameter in model.named_parameters():
        numbers = [part for part in name.split(".") if part.isdigit()]
        parameter.requires_grad_(bool(numbers) and numbers[0] in last)


def linears(model: Any) -> Iterator[tuple[str, Any]]:
    """Give the linear layers by name, also GPT-2's and quantised ones; the output head is the last of them or none."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | Conv1D) or hasattr(module, "quant_state"):
            yield name, module


def check_targets(model: Any, wishes: Wishes) -> None:
    """Raise SpecError for a target that matches nothing, or an r no layer among them has room for."""
    found = dict(linears(model))
    wanted = list(found) if wishes.targets == "all-linear" else _matched(found, wishes.targets)
    head = model.get_output_embeddings()
    sizes = {name: min(_shape(found[name])) for name in wanted if found[name] is not head}
    if not sizes:
        return
    name = max(sizes, key=lambda name: sizes[name])
    if wishes.r > sizes[name]:
        raise SpecError(
            f"adapter.r is {wishes.r}, the largest layer chosen ({name}) has rank {sizes[name]}",
            where="key adapter.r",
            mend=f"set it to at most {sizes[name]}; 8 to 64 is usual",
        )


def _matched(found: dict[str, Any], targets: Sequence[str] | str) -> list[str]:
    matched: list[str] = []
    for target in [targets] if isinstance(targets, str) else targets:
        names = [name for name in found if target == ALL_LINEAR or _is_meant(name, target)]
        if not names:
            leaves = sorted({name.rpartition(".")[2] for name in found})
            near = get_close_matches(target, leaves, n=3, cutoff=0.4)
            listed = [*near, *(leaf for leaf in leaves if leaf not in near)]
            raise SpecError(
                f"no layer is called {target!r}",
                where="key adapter.targets",
                mend=f"this model has: {', '.join(listed)}",
            )
        matched += names
    return matched


def _is_meant(name: str, target: str) -> bool:
    if target.startswith(PATTERN):
        return re.fullmatch(target.removeprefix(PATTERN), name) is not None
    return name == target or name.endswith(f".{target}")


def _targets(model: Any, wishes: Wishes) -> list[str] | str:
    """Give targets as PEFT takes them: a list of names, or one regular expression."""
    if wishes.targets == ALL_LINEAR:
        return ALL_LINEAR
    named = [wishes.targets] if isinstance(wishes.targets, str) else list(wishes.targets)
    if ALL_LINEAR in named:  # beside others: PEFT knows it only alone
        head = model.get_output_embeddings()
        inner = [name for name, module in linears(model) if module is not head]
        named = [*(name for name in named if name != ALL_LINEAR), *inner]
    if not any(name.startswith(PATTERN) for name in named):
        return named
    parts = [name.removeprefix(PATTERN) if name.startswith(PATTERN) else rf"(.*\.)?{re.escape(name)}" for name in named]
    return "|".join(f"(?:{part})" for part in parts)


def _shape(module: Any) -> tuple[int, int]:
    if hasattr(module, "in_features"):
        return int(module.in_features), int(module.out_features)
    return int(module.weight.shape[0]), int(module.weight.shape[1])


def _is_transposed(model: Any) -> bool:
    return any(isinstance(module, Conv1D) for module in model.modules())  # GPT-2 keeps weights transposed
