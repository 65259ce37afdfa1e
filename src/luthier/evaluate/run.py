"""Evaluate: base and tuned model answer the same held-out rows; the difference is measured and shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.engine.ports import ChatModel
from luthier.errors import KindError
from luthier.evaluate.shipped import find_task
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Tell, Warned
from luthier.measure.task import fingerprint, read_task
from luthier.model.machine import choose_device, choose_dtype

VERSION = 1
SAY_NOTHING = ("rows", "examples", "scores", "traffic")
"""Kinds that hold data: they do not answer."""


def evaluate(
    spec: EvaluateSpec,
    base: Artifact,
    tuned: Artifact,
    data: Artifact,
    store: Store,
    tell: Tell,
    open_model: Callable[[Artifact], ChatModel],
) -> Artifact:
    """Make the `scores` of a tuned model beside its base's: scores.json, answers.jsonl, report.html, task.json.

    Answers are kept as they come: a killed evaluation goes on where it was. Models are opened one after the other,
    and only while answers of theirs are missing.
    Raises SpecError for a task that cannot be used, KindError for artifacts that do not belong together, DataError for
    rows that cannot be judged.
    """
    check_kind(data, "examples", "data")
    _check_lineage(base, tuned, data, tell)
    path = find_task(spec.task)
    task = read_task(path)
    inputs = {"base": base.id, "tuned": tuned.id, "data": data.id, "task": fingerprint(path)}

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.evaluate.compare import compare_models

        scores = compare_models(spec, task, base, tuned, data, out, work, open_model, tell)
        return {**scores, **template_figures(data.card)}

    device = choose_device().value  # as `open_model` chooses: answers in bfloat16 are not those in float32
    choices = {"device": device, "dtype": choose_dtype(device).value}
    return store.make(Order("scores", "evaluate", VERSION, spec.model_dump(mode="json"), inputs, choices), build, tell)


def _check_lineage(base: Artifact, tuned: Artifact, data: Artifact, tell: Tell) -> None:
    for role, artifact in (("base", base), ("tuned", tuned)):
        if artifact.kind in SAY_NOTHING:
            raise KindError(
                f"{artifact.id} is of the kind {artifact.kind!r}, which cannot answer",
                where=f"input {role!r}",
                mend="give a model, an adapter, or anything else that answers (luthier list)",
            )
    made_from = tuned.order.inputs
    if tuned.kind == "adapter" and base.id not in made_from.values():
        raise KindError(
            f"{tuned.id} was not tuned from {base.id}",
            where="input 'base'",
            mend=f"give the model it was tuned from: {made_from.get('model', f'luthier show {tuned.id} names it')}",
        )
    trained_on = made_from.get("data")
    if trained_on not in (None, data.id):
        tell(
            Warned(
                f"{tuned.id} learned from {trained_on}, but is asked rows of {data.id}: it may have seen some of them",
                f"evaluate on {trained_on}, whose held-out rows it has never seen",
            )
        )
