"""Evaluate: models answer the same rows; how good they are, and the difference, is measured and shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.artifact.card import template_figures
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.engine.ports import ChatModel
from luthier.errors import KindError
from luthier.evaluate.again import is_to_judge_again
from luthier.evaluate.files import peer_files, row_files
from luthier.evaluate.spec import TOOL, EvaluateSpec
from luthier.evaluate.trials import criteria_of, find_trials
from luthier.event import Tell, Warned
from luthier.measure.task import OFFLINE
from luthier.model.machine import choose_device, choose_dtype
from luthier.retrieve.state import living
from luthier.sidecar import check_ready, row

VERSION = 5
SAY_NOTHING = ("rows", "examples", "scores", "traffic")
"""Kinds that hold data: they do not answer."""

OpenModel = Callable[[Artifact], ChatModel]


def evaluate(
    spec: EvaluateSpec,
    base: Artifact | None,
    tuned: Artifact | None,
    data: Artifact | None,
    model: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: OpenModel,
) -> Artifact:
    """Make the `scores` of a tuned model beside its base's, or of one model alone: scores.json, answers.jsonl,
    report.html, task.json.

    Answers are kept as they come: a killed evaluation goes on where it was, and what a model has answered once is not
    asked again. Models are opened one after the other, and only while answers of theirs are missing. Scores that are
    there are made again where their judge, a model, left answers unjudged.
    Raises SpecError for a task that cannot be used, KindError for artifacts that do not belong together, DataError for
    rows that cannot be judged.
    """
    task = spec.read()
    if spec.peer:
        check_ready(store.root, TOOL)
    asked = {"base": base, "tuned": tuned, "data": data, "model": model}
    given = {role: artifact for role, artifact in asked.items() if artifact is not None}
    if data is not None:
        check_kind(data, "examples", "data")
    if base is not None and tuned is not None:
        _check_lineage(base, tuned, data, tell)
    inputs = {role: artifact.id for role, artifact in given.items()} | {"task": spec.task_hash()}
    inputs |= peer_files(Path(spec.peer)) if spec.peer else {}
    rows_path = spec.rows_path()
    if rows_path is not None:
        inputs |= row_files(task, rows_path)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.evaluate.build import build_scores

        scores = build_scores(spec, task, given, inputs, store, out, work, choices, open_model, tell)
        return {**scores, **(template_figures(data.card) if data is not None else {})}

    inputs |= find_trials(store, spec.judge, criteria_of(task))  # the page quotes them
    device = choose_device().value  # as `open_model` chooses: answers in bfloat16 are not those in float32
    choices = {"device": device, "dtype": choose_dtype(device).value}
    choices |= {TOOL: " ".join(row(TOOL).pins)} if spec.peer else {}
    is_judged = bool(criteria_of(task)) or task.kind == "judge"
    judges = [store.find(spec.judge)] if is_judged and spec.judge_is_artifact else []
    choices = choices | living(store, [*given.values(), *judges])
    order = Order("scores", "evaluate", VERSION, spec.model_dump(mode="json"), inputs, choices)
    anew = spec.judge != OFFLINE and is_to_judge_again(store, order.id, tell)
    return store.make(order, build, tell, anew=anew)


def _check_lineage(base: Artifact, tuned: Artifact, data: Artifact | None, tell: Tell) -> None:
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
    if data is not None and trained_on not in (None, data.id):
        tell(
            Warned(
                f"{tuned.id} learned from {trained_on}, but is asked rows of {data.id}: it may have seen some of them",
                f"evaluate on {trained_on}, whose held-out rows it has never seen",
            )
        )
