"""What would change the plan, and the best settings that fit: rows of changes, each planned in full."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens
from luthier.errors import LuthierError
from luthier.model.machine import gigabytes
from luthier.tune.incompatible import OWN, VIRTUAL, check
from luthier.tune.plan import Plan, make_plan
from luthier.tune.plan_load import Load
from luthier.tune.plan_place import Place
from luthier.tune.spec import TuneSpec

Changed = Mapping[str, object]
"""Setting -> another value; none: the change is already made, or does not go with the method."""
SMALLEST_PASS_TOKENS = 256
WITHOUT_RANK = (*VIRTUAL, *OWN, "ia3")


@dataclass(frozen=True)
class Asked:
    """What is planned, and for where."""

    spec: TuneSpec
    folder: Path
    place: Place
    data: Artifact | None
    dtype: str
    root: Path | None = None

    def plan(self, changed: Changed | None = None, load: Load | None = None) -> Plan:
        """Plan it with some settings changed."""
        spec = with_settings(self.spec, changed or {})
        return make_plan(spec, self.folder, self.place, self.data, self.dtype, self.root, load)


@dataclass(frozen=True)
class Option:
    """One change and what it does."""

    about: str
    settings: tuple[str, ...]
    peak_bytes: int
    bytes_more: int
    step_seconds: float
    seconds_more: float
    trained: int
    fits: bool


def with_settings(spec: TuneSpec, changed: Changed) -> TuneSpec:
    """Give a spec with settings changed: `learn.tokens_per_pass` -> 2048."""
    plain: dict[str, Any] = spec.model_dump()
    for name, value in changed.items():
        *outer, last = name.split(".")
        inner = plain
        for part in outer:
            inner = inner[part]
        inner[last] = value
    return TuneSpec.model_validate(plain)


def _narrow(spec: TuneSpec) -> Changed:
    return {} if spec.adapter.kind in OWN or spec.quantize == "nf4" else {"quantize": "nf4"}


def _adapter(spec: TuneSpec) -> Changed:
    return {"adapter.kind": "lora"} if spec.adapter.kind in OWN else {}


def _checkpointing(spec: TuneSpec) -> Changed:
    return (
        {}
        if spec.learn.checkpoint_activations or spec.adapter.kind in VIRTUAL
        else {"learn.checkpoint_activations": True}
    )


def _small_state(spec: TuneSpec) -> Changed:
    return {"learn.optimizer": "adamw_8bit"} if spec.learn.optimizer == "adamw" else {}


def _rank(factor: float) -> Callable[[TuneSpec], Changed]:
    def change(spec: TuneSpec) -> Changed:
        return {} if spec.adapter.kind in WITHOUT_RANK else {"adapter.r": max(1, int(spec.adapter.r * factor))}

    return change


def _rows(spec: TuneSpec) -> Changed:
    return {"learn.rows_per_step": spec.learn.rows_per_step // 2} if spec.learn.rows_per_step > 1 else {}


def _tokens(factor: float) -> Callable[[TuneSpec], Changed]:
    def change(spec: TuneSpec) -> Changed:
        return {"learn.tokens_per_pass": max(1, int(spec.learn.tokens_per_pass * factor))}

    return change


CHANGES: Mapping[str, Callable[[TuneSpec], Changed]] = {
    "half the tokens a pass": _tokens(0.5),
    "twice the tokens a pass": _tokens(2),
    "activations computed again": _checkpointing,
    "AdamW's state in 8 bits": _small_state,
    "QLoRA: frozen weights in 4 bits": _narrow,
    "LoRA in place of the weights themselves": _adapter,
    "half the rank": _rank(0.5),
    "twice the rank": _rank(2),
    "half the rows a step": _rows,
}
"""In the order in which they are tried when memory does not suffice: those that change the result least come first."""
SMALLER = (
    "activations computed again",
    "AdamW's state in 8 bits",
    "QLoRA: frozen weights in 4 bits",
    "LoRA in place of the weights themselves",
    "half the rank",
)


def options(asked: Asked, plan: Plan) -> list[Option]:
    """Plan each change by itself, and rows cut to half the length of the longest."""
    found = []
    for about, change in CHANGES.items():
        changed = change(asked.spec)
        if changed and _goes(asked.spec, changed):
            found.append(_option(about, changed, asked.plan(changed), plan))
    most = len(plan.load.longest.ids) // 2
    found.append(_option("rows half as long", {}, asked.plan(load=shorter(plan.load, most)), plan))
    found[-1] = replace(found[-1], settings=(f"prepare: length.max_tokens={most}",))
    return found


def _goes(spec: TuneSpec, changed: Changed) -> bool:
    try:
        check(with_settings(spec, changed))
    except LuthierError:
        return False
    return True


def _option(about: str, changed: Changed, other: Plan, plan: Plan) -> Option:
    return Option(
        about,
        tuple(f"{name}={_text(value)}" for name, value in changed.items()),
        other.peak_bytes,
        other.peak_bytes - plan.peak_bytes,
        other.step_seconds,
        other.step_seconds - plan.step_seconds,
        other.trained,
        other.fits,
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def shorter(load: Load, most: int) -> Load:
    """Give the load of rows cut to `most` tokens, in the proportion in which its largest rows shrink."""
    largest = [_cut(row, most) for row in load.largest]
    share = sum(len(row.ids) for row in largest) / max(1, sum(len(row.ids) for row in load.largest))
    return replace(
        load,
        largest=largest,
        longest=_cut(load.longest, most),
        dev=[_cut(row, most) for row in load.dev],
        tokens_per_step=load.tokens_per_step * share,
        supervised_per_step=load.supervised_per_step * share,
        attended_per_step=load.attended_per_step * share * share,
    )


def _cut(row: Tokens, most: int) -> Tokens:
    return Tokens(np.asarray(row.ids[-most:]), np.asarray(row.mask[-most:]))


def best_that_fits(asked: Asked, room: int, plan: Plan) -> tuple[dict[str, object], Plan] | None:
    """Find the settings nearest to those asked for whose peak is within `room`; None where nothing fits.

    What changes no result comes first: fewer tokens a pass. Then one more change after the other.
    """
    if plan.peak_bytes <= room:
        return {}, plan
    for changed in _ladder(asked.spec):
        lowest = {**changed, "learn.tokens_per_pass": min(SMALLEST_PASS_TOKENS, asked.spec.learn.tokens_per_pass)}
        if asked.plan(lowest).peak_bytes > room:
            continue
        for tokens in _halves(asked.spec.learn.tokens_per_pass):
            wanted = changed if tokens == asked.spec.learn.tokens_per_pass else {**changed, **_pass(tokens)}
            found = asked.plan(wanted)
            if found.peak_bytes <= room:
                return dict(wanted), found
    return None


def _pass(tokens: int) -> Changed:
    return {"learn.tokens_per_pass": tokens}


def _halves(tokens: int) -> Iterator[int]:
    while tokens > SMALLEST_PASS_TOKENS:
        yield tokens
        tokens //= 2
    yield min(tokens, SMALLEST_PASS_TOKENS)


def _ladder(spec: TuneSpec) -> Iterator[dict[str, object]]:
    """Nothing, then each smaller change laid over those before it where they go together."""
    changed: dict[str, object] = {}
    yield {}
    for about in SMALLER:
        current = with_settings(spec, changed)
        more = CHANGES[about](current)
        if more and _goes(spec, {**changed, **more}):
            changed = {**changed, **more}
            yield dict(changed)


def sentence(asked: Asked, found: tuple[Mapping[str, object], Plan] | None, room: int) -> str:
    """Say the proposal in words."""
    where = f"{asked.place.name} ({room / 1e9:.0f} GB)"
    if found is None:
        return f"{where}: nothing fits; take a smaller model, more memory, or more devices (--devices)"
    spec = found[1].spec
    name = "QLoRA" if spec.quantize == "nf4" and spec.adapter.kind == "lora" else spec.adapter.kind
    rank = "" if spec.adapter.kind in WITHOUT_RANK else f" r={spec.adapter.r}"
    return f"{where}: {name}{rank}, {spec.learn.tokens_per_pass} tokens a pass"


def mend_memory(asked: Asked, plan: Plan) -> str:
    """Say what to change so that a plan fits."""
    found = best_that_fits(asked, asked.place.usable_bytes or 0, plan)
    if found is None:
        return "stop other programs, or take a smaller model: no settings fit"
    peak = gigabytes(found[1].peak_bytes)
    return f"set {' '.join(as_settings(found[0]))} (by the plan {peak}), stop other programs, or take a smaller model"


def as_settings(changed: Mapping[str, object]) -> Sequence[str]:
    """Write changes as they are typed."""
    return [f"{name}={_text(value)}" for name, value in changed.items()]
