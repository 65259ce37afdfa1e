"""The stages by name: what each takes, what it makes, where its doors are. The one table of lazy imports."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pydantic: `luthier --help` reads this table, and no spec
    from luthier.spec import Spec


def _always(spec: Any) -> bool:
    return True


@dataclass(frozen=True)
class Input:
    """One artifact a stage takes."""

    kind: str
    """What is looked for where nothing is named."""
    wanted: Callable[[Any], bool] = _always
    """Whether a spec needs it."""
    answers: bool = False
    """Whether anything that answers may stand in its place."""

    def fits(self, kind: str) -> bool:
        """Whether an artifact of a kind may be given."""
        if not self.answers or kind == self.kind:
            return kind == self.kind
        from luthier.recipe.openers import OPENERS

        return kind in OPENERS

    def kinds(self) -> str:
        """Say which kinds fit."""
        return f"{self.kind} (or anything that answers)" if self.answers else self.kind


@dataclass(frozen=True)
class Stage:
    """One stage."""

    about: str
    """One line for `luthier --help`."""
    spec: str
    run: str
    takes: Mapping[str, Input] = field(default_factory=dict)
    """Role -> what it must be, in the order of the function's parameters."""
    first: str = ""
    """The setting a bare word on the command line gives."""
    opens: bool = False
    """Whether it asks for models to be opened."""

    def spec_class(self) -> "type[Spec]":
        """Load the first door."""
        found: type[Spec] = _load(self.spec)
        return found

    def function(self) -> Callable[..., Any]:
        """Load the second door."""
        found: Callable[..., Any] = _load(self.run)
        return found


STAGES: dict[str, Stage] = {
    "fetch": Stage(
        "Bring a model or raw rows into the project.",
        "luthier.fetch.spec:FetchSpec",
        "luthier.fetch.run:fetch",
        first="source",
    ),
    "index": Stage(
        "Make a knowledge base of documents, or bring it up to date.",
        "luthier.index.spec:IndexSpec",
        "luthier.index.run:index",
        takes={"generator": Input("model", lambda spec: spec.generator == "local", answers=True)},
        first="source",
        opens=True,
    ),
    "prepare": Stage(
        "Turn raw rows into examples with tokens and label masks.",
        "luthier.prepare.spec:PrepareSpec",
        "luthier.prepare.run:prepare",
        takes={"model": Input("model"), "rows": Input("rows", lambda spec: not (spec.source or spec.sets))},
        first="source",
    ),
    "tune": Stage(
        "Fine-tune a model on prepared examples.",
        "luthier.tune.spec:TuneSpec",
        "luthier.tune.run:tune",
        takes={"model": Input("model"), "data": Input("examples")},
    ),
    "answer": Stage(
        "Answer questions from a knowledge base, with sources.",
        "luthier.answer.spec:AnswerSpec",
        "luthier.answer.run:answer",
        takes={
            "index": Input("index", lambda spec: not spec.bases),
            "generator": Input("model", lambda spec: spec.generator == "local", answers=True),
        },
        first="question",
        opens=True,
    ),
    "evaluate": Stage(
        "Ask models a task's questions: a tuned one beside its base, or one alone.",
        "luthier.evaluate.spec:EvaluateSpec",
        "luthier.evaluate.run:evaluate",
        takes={
            "base": Input("model", lambda spec: spec.asks_pair(), answers=True),
            "tuned": Input("adapter", lambda spec: spec.asks_pair(), answers=True),
            "data": Input("examples", lambda spec: spec.asks_prepared()),
            "model": Input("model", lambda spec: spec.alone, answers=True),
        },
        opens=True,
    ),
    "merge": Stage(
        "Make one model of an adapter and its base, or of several adapters or models.",
        "luthier.merge.spec:MergeSpec",
        "luthier.merge.run:merge",
        takes={"tuned": Input("adapter", answers=True)},
    ),
    "quantize": Stage(
        "Give a model fewer bits, or the form of another engine.",
        "luthier.quantize.spec:QuantizeSpec",
        "luthier.quantize.run:quantize",
        takes={"model": Input("model")},
        first="kind",
    ),
    "act": Stage(
        "Let a model do a task with tools, or make an agent of it.",
        "luthier.act.spec:ActSpec",
        "luthier.act.run:act",
        takes={"model": Input("model", lambda spec: not spec.url, answers=True)},
        first="task",
        opens=True,
    ),
    "compare": Stage(
        "Ask several candidates the same, weigh costs, and name the cheapest that will do.",
        "luthier.compare.spec:CompareSpec",
        "luthier.compare.run:compare",
        takes={
            "base": Input("model"),
            "tuned": Input("adapter", lambda spec: spec.tuned, answers=True),
            "data": Input("examples"),
            "knowledge": Input("model", lambda spec: False, answers=True),
            "tuned_knowledge": Input("model", lambda spec: False, answers=True),
        },
        opens=True,
    ),
    "release": Stage(
        "Pass a tuned model through the gate, promote it, or roll back.",
        "luthier.release.spec:ReleaseSpec",
        "luthier.release.run:release",
        takes={
            "tuned": Input("adapter", answers=True),
            "scores": Input("scores"),
            "general": Input("scores", lambda spec: False),
        },
    ),
}


def _load(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)
