"""What a set teaches, and the objective for it: a row for each task of prepared data."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from luthier.artifact.example import read_examples
from luthier.artifact.store import Artifact
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.errors import DataError, KindError
from luthier.event import Chose, Counted, Tell
from luthier.learn.classify import classified
from luthier.learn.objective import Objective, Supervised
from luthier.learn.ways import Ways, supervised
from luthier.model.load import load_causal, load_classifier
from luthier.model.methods import METHODS
from luthier.model.template import open_template
from luthier.tune.classes import Classes, find_classes, labelled, spread
from luthier.tune.opening import Opened
from luthier.tune.spec import TuneSpec
from luthier.tune.watch import Look, answers, class_figures, classes, general, together

Places = Mapping[str, str] | None
"""Which module lies where; None: all on the device."""


@dataclass(frozen=True)
class Taught:
    """Rows and what is learned from them."""

    rows: Sequence[Any]
    dev_rows: Sequence[Any]
    objective: Objective[Any]
    look: Look
    labels: Sequence[tuple[str, str, str]]
    """Content id, source and tag of each training row."""
    figures: Callable[[], Mapping[str, Any]]
    """More for the card, once the run is done."""


@dataclass(frozen=True)
class Setting:
    """What a task needs before and after an adapter is put on."""

    peft_task: str
    load: Callable[[Artifact, Artifact, TuneSpec, str, str, Places], Any]
    """(model, data, spec, device, dtype, places) -> the model in memory."""
    teach: Callable[[Opened, Artifact, Artifact, TuneSpec, Tell], Taught]


def _load_chat(model: Artifact, data: Artifact, spec: TuneSpec, device: str, dtype: str, places: Places) -> Any:
    return load_causal(
        model.folder,
        dtype=dtype,
        device=device,
        trust_remote_code=_trusted(model),
        quantize=spec.quantize,
        places=places,
    )


def _teach_chat(opened: Opened, model: Artifact, data: Artifact, spec: TuneSpec, tell: Tell) -> Taught:
    rows, dev_rows = read_tokens(data.folder, "train"), read_tokens(data.folder, "dev")
    kept = [place for place, row in enumerate(rows) if row.supervised]
    if not kept:
        raise DataError("there is no row to learn from", where=f"{data.folder}/train.jsonl", mend="prepare more rows")
    names = [(example.id, example.source, example.tag) for example in read_examples(data.folder, "train")]
    first = [rows[place] for place in kept[:3]]
    if METHODS[spec.adapter.kind].packs and spec.learn.packing != "never":
        ways = _ways(spec, int(rows.lengths.sum()))
        objective: Objective[Tokens] = supervised(opened.inner, first, spec.learn.tokens_per_pass, tell, ways)
    else:
        tell(Chose("passes", "one example each", _why_apart(spec)))
        objective = Supervised(opened.inner, False, spec.learn.tokens_per_pass)
    objective = _regularised(objective, opened.extra_loss)
    template = open_template(model.folder)
    looks = [general(objective, template)] if spec.general_probe else []
    if spec.learn.sample:
        sampled = list(islice((row for row in read_examples(data.folder, "dev") if row.messages), spec.learn.sample))
        looks += [answers(opened.model, template, sampled)] if sampled else []
    return Taught(
        rows=[rows[place] for place in kept],
        dev_rows=[row for row in dev_rows if row.supervised],
        objective=objective,
        look=together(*looks),
        labels=[names[place] for place in kept],
        figures=dict,
    )


def _ways(spec: TuneSpec, tokens: int) -> Ways:
    learning = spec.learn
    return Ways(
        compile=learning.compile,
        tokens=int(learning.epochs * tokens),
        checkpoint=learning.checkpoint_activations and spec.device_map == "none",
        plain=spec.device_map != "none",
        offload=learning.offload_activations,
    )


def _why_apart(spec: TuneSpec) -> str:
    if spec.learn.packing == "never":
        return "learn.packing=never"
    return f"{spec.adapter.kind} puts its virtual tokens before one row at a time"


def _load_classes(model: Artifact, data: Artifact, spec: TuneSpec, device: str, dtype: str, places: Places) -> Any:
    found = find_classes(data)
    return load_classifier(
        model.folder,
        outputs=found.outputs,
        problem=found.problem,
        dtype=dtype,
        device=device,
        seed=spec.seed,
        trust_remote_code=_trusted(model),
        quantize=spec.quantize,
        places=places,
    )


def _teach_classes(opened: Opened, model: Artifact, data: Artifact, spec: TuneSpec, tell: Tell) -> Taught:
    found = find_classes(data)
    rows, dev_rows = labelled(data, "train", found), labelled(data, "dev", found)
    tell(Counted("classes", spread(found, rows)))
    objective = classified(opened.inner, rows[:3], found.problem, spec.learn.tokens_per_pass, spec.learn.packing, tell)

    def figures() -> Mapping[str, Any]:
        test_rows = labelled(data, "test", found)
        measured = {"test": class_figures(objective, test_rows)} if test_rows else {}
        return {"classes": _described(found), **measured}

    return Taught(
        rows=rows,
        dev_rows=dev_rows,
        objective=_regularised(objective, opened.extra_loss),
        look=classes(objective, dev_rows) if dev_rows else dict,
        labels=[(example.id, example.source, example.tag) for example in read_examples(data.folder, "train")],
        figures=figures,
    )


def _described(found: Classes) -> dict[str, Any]:
    return {"problem": found.problem, "names": list(found.names)}


TASKS: dict[str, Setting] = {
    "supervised": Setting("CAUSAL_LM", _load_chat, _teach_chat),
    "classification": Setting("SEQ_CLS", _load_classes, _teach_classes),
}


def setting_of(data: Artifact) -> Setting:
    """Give the row for what a set was prepared for. Raises KindError for one that nothing here learns from."""
    task = str(data.card.figures.get("task", "supervised"))
    if task not in TASKS:
        raise KindError(
            f"the examples {data.id} are for {task!r}, which tune does not learn",
            where="input 'data'",
            mend=f"prepare them in a form for {' or '.join(TASKS)}",
        )
    return TASKS[task]


def _trusted(model: Artifact) -> bool:
    return bool(model.card.spec.get("trust_remote_code", False))


@dataclass(frozen=True)
class _Regularised:
    """An objective with a term of the weights alone, once a step while gradients are made."""

    inner: Objective[Any]
    extra: Callable[[], Tensor]

    def passes(self, rows: Sequence[Any]) -> Any:
        return self.inner.passes(rows)

    def weight(self, rows: Sequence[Any]) -> Any:
        return self.inner.weight(rows)

    def tokens(self, rows: Sequence[Any]) -> int:
        return self.inner.tokens(rows)

    def loss(self, rows: Sequence[Any]) -> Tensor:
        loss = self.inner.loss(rows)
        # the loop divides by the step's weight: each pass brings its share of the term
        return loss + self.extra() * self.inner.weight(rows) if torch.is_grad_enabled() else loss

    def losses(self, rows: Sequence[Any]) -> Tensor:
        losses_B = self.inner.losses(rows)
        if not torch.is_grad_enabled():
            return losses_B
        weights = [self.inner.weight([row]) for row in rows]
        return losses_B + self.extra() * torch.tensor(weights, device=losses_B.device)


def _regularised(objective: Objective[Any], extra: Callable[[], Tensor] | None) -> Objective[Any]:
    return objective if extra is None else _Regularised(objective, extra)
