"""Compare: the same held-out questions to several candidates, what each costs, and the cheapest that will do."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.compare.spec import CompareSpec
from luthier.engine.ports import ChatModel
from luthier.event import Tell
from luthier.model.machine import choose_device, choose_dtype
from luthier.retrieve.state import check_unchanged, living

VERSION = 4

OpenModel = Callable[[Artifact], ChatModel]


def compare(
    spec: CompareSpec,
    base: Artifact,
    tuned: Artifact | None,
    data: Artifact,
    knowledge: Artifact | None,
    tuned_knowledge: Artifact | None,
    store: Store,
    tell: Tell,
    open_model: OpenModel,
) -> Artifact:
    """Make the `comparison` of a base, the base behind its best prompt (a `prompt` artifact), and other candidates.

    Answers are kept as they come: a killed comparison goes on where it was.
    Raises SpecError for metrics that cannot be taken from answers, and for a gate over others.
    """
    from luthier.compare.weigh import check_metrics  # numpy

    check_metrics(spec)
    check_kind(data, "examples", "data")
    device = choose_device().value  # as `open_model` chooses: answers in bfloat16 are not those in float32
    choices = {"device": device, "dtype": choose_dtype(device).value}
    given = {"base": base, "tuned": tuned, "knowledge": knowledge, "tuned_knowledge": tuned_knowledge}
    if spec.search.shots:
        given["prompt"] = _prompt(spec, base, data, choices, store, tell, open_model)
    given |= {f"also_{place}": store.find(name) for place, name in enumerate(spec.also, start=1)}
    found = {role: artifact for role, artifact in given.items() if artifact is not None}

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.compare.build import compare_candidates
        from luthier.compare.line_up import line_up

        check = partial(check_unchanged, store, list(found.values()), state)
        return compare_candidates(spec, line_up(spec, found, store, open_model), data, out, work, tell, check)

    state = living(store, list(found.values()))
    inputs = {role: artifact.id for role, artifact in found.items()} | {"data": data.id}
    order = Order("comparison", "compare", VERSION, spec.model_dump(mode="json"), inputs, choices | state)
    return store.make(order, build, tell)


def _prompt(
    spec: CompareSpec,
    base: Artifact,
    data: Artifact,
    choices: Mapping[str, str],
    store: Store,
    tell: Tell,
    open_model: OpenModel,
) -> Artifact:
    """Make the prompt that is best for the base: what a comparison asks beside it does not bear on it."""

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.compare.search import find_prompt

        return find_prompt(spec, data.folder, out, work, partial(open_model, base), tell)

    bears = {"metrics": list(spec.metrics[:1]), **spec.model_dump(mode="json", include=BEARS)}
    inputs = {"model": base.id, "data": data.id}
    return store.make(Order("prompt", "compare", VERSION, bears, inputs, choices), build, tell)


BEARS = {"search", "max_tokens", "rows_per_batch", "seed"}
"""Settings on which the best prompt depends."""
