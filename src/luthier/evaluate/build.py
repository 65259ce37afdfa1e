"""From artifacts and a task to questions and the models they are put to."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from luthier.artifact.seal import verify_whole
from luthier.artifact.store import Artifact, Store
from luthier.engine.embed import open_embedder
from luthier.engine.judging import Judge, open_judge
from luthier.engine.ports import ChatModel
from luthier.engine.remote import RemoteModel
from luthier.evaluate.again import bring_kept, keep
from luthier.evaluate.ask import ask, how
from luthier.evaluate.choose import read_prepared
from luthier.evaluate.find_out import Find, Wanted
from luthier.evaluate.judged import Bench, calibrate, find_judged
from luthier.evaluate.kept import Kept, key_of
from luthier.evaluate.lm_eval import measure_lm_eval
from luthier.evaluate.measure_models import ALONE, Side, measure_models
from luthier.evaluate.own_rows import read_own
from luthier.evaluate.prove import find_passed
from luthier.evaluate.sandbox import check_sandbox
from luthier.evaluate.similar import SIMILARITY, find_similar
from luthier.evaluate.spec import EvaluateSpec
from luthier.evaluate.trials import criteria_of, read_trials
from luthier.event import Tell
from luthier.measure.metrics import CRITERIA, metrics
from luthier.measure.task import TaskSpec
from luthier.retrieve.state import KNOWLEDGE, check_unchanged, state_in


def build_scores(
    spec: EvaluateSpec,
    task: TaskSpec,
    given: Mapping[str, Artifact],
    inputs: Mapping[str, str],
    store: Store,
    out: Path,
    work: Path,
    choices: Mapping[str, str],
    open_model: Callable[[Artifact], ChatModel],
    tell: Tell,
) -> Mapping[str, Any]:
    """Ask the models in `given`, or the one behind an address, and fill `out`. Gives the scores."""
    if task.code is not None and not spec.unsafe:
        check_sandbox()  # before an hour of answers, not after
    names = {role: artifact.id for role, artifact in given.items()} | ({"url": spec.url} if spec.url else {})
    if spec.peer:
        return measure_lm_eval(spec, task, given, names, store, out, work, choices, tell)
    path = spec.rows_path()
    rows = read_own(task, path) if path is not None else read_prepared(given["data"].folder, spec.split)
    bring_kept(store, work)
    bench = _bench(spec, store, work, choices, open_model, tell)
    if task.kind == "judge":
        sides = [Side(ALONE, lambda asked: calibrate(task, asked, bench))]
    else:
        sides = _sides(spec, task, given, store, work, choices, open_model, tell)
    criteria = criteria_of(task)
    names |= {"judge": spec.judge} if criteria or task.kind == "judge" else {}
    trials = read_trials(store, inputs, criteria, tell)
    names |= {"rows": str(path)} if path is not None else {}
    finders = {"tests": find_passed(spec.unsafe, tell)}
    finders |= find_meaning(spec, task, tell)
    finders |= {f"judged_{name}": find_judged(name, bench) for name in CRITERIA}
    try:
        if criteria and "://" in spec.judge:
            bench.open()  # an address where nobody is shows before an hour of answers, not after
        scores = measure_models(spec, task, rows, sides, names, out, Wanted(finders, trials), tell)
        keep(scores, work, out)
        return scores
    finally:
        bench.close()


def _sides(
    spec: EvaluateSpec,
    task: TaskSpec,
    given: Mapping[str, Artifact],
    store: Store,
    work: Path,
    choices: Mapping[str, str],
    open_model: Callable[[Artifact], ChatModel],
    tell: Tell,
) -> list[Side]:
    """Give the models that are asked, each with what it has answered before."""
    machine = {name: value for name, value in choices.items() if not name.startswith(KNOWLEDGE)}

    def side(name: str, role: str, answers: Kept, opener: Callable[[], ChatModel]) -> Side:
        return Side(name, lambda asked: ask(role, asked, task, spec.seed, answers, opener, tell))

    def of_artifact(name: str, role: str) -> Side:
        artifact = given[role]

        def opener() -> ChatModel:
            verify_whole(store, artifact)  # else answers of what was altered would be kept as this model's
            return open_model(artifact)

        # as the order says, not as it is by now: what another state answers is not kept as this one's
        state = state_in(choices, store, artifact)
        path = store.root / "answers" / artifact.id / f"{key_of([how(task, spec.seed), machine | state])}.jsonl"
        return side(name, role, Kept(path, partial(check_unchanged, store, [artifact], state)), opener)

    if spec.url:  # what an address serves may change: kept for this evaluation only
        return [side(ALONE, "url", Kept(work / "answers.jsonl"), lambda: RemoteModel(spec.url, spec.name or None))]
    if spec.alone:
        return [of_artifact(ALONE, "model")]
    return [of_artifact("before", "base"), of_artifact("after", "tuned")]


def find_meaning(spec: EvaluateSpec, task: TaskSpec, tell: Tell) -> dict[str, Find]:
    """Give what measures similarity, where the task asks for it; an embedder that is missing shows here."""
    if not any(metrics()[name].needs == SIMILARITY for name in task.metrics):
        return {}
    return {SIMILARITY: find_similar(open_embedder(spec.embedder, tell), tell)}


def _bench(
    spec: EvaluateSpec,
    store: Store,
    work: Path,
    choices: Mapping[str, str],
    open_model: Callable[[Artifact], ChatModel],
    tell: Tell,
) -> Bench:
    """Give the judge that is asked for; what it says is kept, of a knowledge base by what that holds."""

    def opener() -> Judge:
        return open_judge(spec.judge, open_whole)

    def open_whole(name: str) -> ChatModel:
        judge = store.find(name)
        verify_whole(store, judge)
        return open_model(judge)

    if not spec.judge_is_artifact:  # what an address serves may change
        return Bench(opener, Kept(work / "verdicts.jsonl"), tell)
    judge = store.find(spec.judge)
    state = state_in(choices, store, judge)
    path = store.root / "answers" / judge.id / (f"verdicts-{key_of(state)}.jsonl" if state else "verdicts.jsonl")
    kept = Kept(path, partial(check_unchanged, store, [judge], state))
    return Bench(opener, kept, tell)
