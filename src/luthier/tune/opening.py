"""A model with what is trained of it: put on, saved, read back, whatever the method."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from luthier.event import Chose, Counted, Tell
from luthier.learn.noise import add_noise
from luthier.model.adapt import load_adapter_weights, save_adapter, trainable
from luthier.model.lora import lean
from luthier.model.methods import METHODS, Wishes, put_on
from luthier.model.own_weights import Masters, save_changed
from luthier.tune.adalora import AdaLora
from luthier.tune.incompatible import VIRTUAL
from luthier.tune.pissa import Beginning
from luthier.tune.spec import TuneSpec

LORA = ("lora", "rslora", "lora_plus", "pissa")
"""The methods whose layers compute as LoRA does."""
REWRITTEN = (*VIRTUAL, "pissa", "adalora")
"""The methods whose adapter, as others load it, does not hold all that is trained."""
TRAINED = "trained.safetensors"


@dataclass(frozen=True)
class Opened:
    """A model in memory, ready to be trained."""

    model: Any
    """What is called: PEFT's model, or the model itself."""
    inner: Any
    """What an objective computes with: the model below the adapter, with the adapter's layers in it."""
    named: Mapping[str, nn.Parameter]
    """What an optimizer changes."""
    save: Callable[[Path], None]
    """Writes the state of a checkpoint."""
    load: Callable[[Path], None]
    save_final: Callable[[Path], None]
    """Writes what others load."""
    after_step: Callable[[int], None]
    extra_loss: Callable[[], Tensor] | None
    counts: Mapping[str, int]
    tables: frozenset[str]
    """Which of what is changed are embeddings and the head."""


def open_trained(model: Any, base: str, spec: TuneSpec, steps: int, task: str, tell: Tell) -> Opened:
    """Put on a loaded model what the spec asks for. `base` names it in what is saved; `task` is PEFT's name for it."""
    adapter = spec.adapter
    wishes = Wishes(
        r=adapter.r,
        alpha=adapter.scale_alpha,
        dropout=adapter.dropout,
        targets=adapter.targets,
        save=adapter.save,
        tokens=adapter.tokens,
        layers=adapter.layers,
        steps=steps,
        task=task,
    )
    everything = sum(parameter.numel() for parameter in model.parameters())
    adapted = put_on(model, adapter.kind, wishes, spec.seed)
    adapted.train()
    named = dict(trainable(adapted))
    if METHODS[adapter.kind].config is None:
        opened = _own(adapted, named, base, adapter.kind, everything)
    else:
        opened = _adapter(adapted, named, base, spec, everything)
        if adapter.kind in LORA:
            count = lean(adapted)
            tell(Chose("lora", f"{count} lean layers", "no gradient of frozen weights, no casts: PEFT's own results"))
    if spec.learn.noise:
        add_noise(opened.inner, spec.learn.noise)
    tell(Counted("parameters", opened.counts))
    return opened


def _own(model: Any, named: Mapping[str, nn.Parameter], base: str, kind: str, everything: int) -> Opened:
    masters = Masters(named)

    def save_final(folder: Path) -> None:
        save_changed(dict(named), folder, base, kind)

    return Opened(
        model=model,
        inner=model,
        named=masters.named,
        save=masters.save,
        load=masters.load,
        save_final=save_final,
        after_step=lambda step: masters.show(),
        extra_loss=None,
        counts=_counts(named, everything),
        tables=_tables(model, named),
    )


def _adapter(adapted: Any, named: Mapping[str, nn.Parameter], base: str, spec: TuneSpec, everything: int) -> Opened:
    kind = spec.adapter.kind
    beginning = Beginning(adapted) if kind == "pissa" else None
    rank = AdaLora(adapted) if kind == "adalora" else None

    def save_final(folder: Path) -> None:
        save_adapter(adapted, folder, base=base)
        if beginning is not None:
            beginning.as_lora(folder)

    def save(folder: Path) -> None:
        save_final(folder)  # a checkpoint can be loaded as an adapter too
        if kind in REWRITTEN:
            tensors = {name: parameter.detach().cpu().contiguous() for name, parameter in named.items()}
            save_file(tensors, folder / TRAINED)
        if rank is not None:
            rank.save(folder)

    @torch.no_grad()
    def load(folder: Path) -> None:
        if kind in REWRITTEN:
            for name, tensor in load_file(folder / TRAINED).items():
                named[name].copy_(tensor)
        else:
            load_adapter_weights(adapted, folder)
        if rank is not None:
            rank.load(folder)

    return Opened(
        model=adapted,
        inner=adapted if kind in VIRTUAL else adapted.get_base_model(),
        named=named,
        save=save,
        load=load,
        save_final=save_final,
        after_step=rank.after_step if rank is not None else _nothing,
        extra_loss=rank.extra_loss if rank is not None else None,
        counts=_counts(named, everything),
        tables=_tables(adapted, named),
    )


def _tables(model: Any, named: Mapping[str, nn.Parameter]) -> frozenset[str]:
    """Name the parameters whose rows are tokens, virtual ones too, and those of the head."""
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    head = model.get_output_embeddings()
    tables += [] if head is None else [head.weight]
    return frozenset(name for name, parameter in named.items() if any(parameter is table for table in tables))


def _counts(named: Mapping[str, nn.Parameter], everything: int) -> dict[str, int]:
    return {"trained": sum(parameter.numel() for parameter in named.values()), "all": everything}


def _nothing(step: int) -> None:
    return None


def rate_shares(spec: TuneSpec) -> Callable[[str], float]:
    """Give each parameter's part of the rate: LoRA+ lets B learn faster."""
    if spec.adapter.kind != "lora_plus":
        return lambda name: 1.0
    return lambda name: spec.adapter.plus_ratio if ".lora_B." in name else 1.0
