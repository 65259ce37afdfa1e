"""The door of `prepare`: it hashes what comes from outside, and makes examples only if they are not there yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import DataError
from luthier.event import Tell
from luthier.prepare.sets import Sets, check_processes, rows_sets, sets_of
from luthier.prepare.spec import PrepareSpec

VERSION = 10


def prepare(
    spec: PrepareSpec,
    model: Artifact,
    rows: Artifact | None,
    store: Store,
    tell: Tell,
    *,
    processes: int | None = None,
) -> Artifact:
    """Make an artifact of the kind `examples`: three splits, each as JSON lines and as tokens of the model's template.

    Rows come from the files in `spec.source` or `spec.sets`, or from the `rows` artifact where the spec names none.
    `processes` workers do them (None: as many as there are cores); the outcome is the same with any number.
    Raises DataError for files and rows that cannot be used (file:line), SpecError if no rows are given, two sorts of
    them, or rows of two tasks, KindError for an input of another kind, ModelError for a model without tokenizer or
    chat template, RoomError if a worker was killed.
    """
    check_kind(model, "model", "model")
    check_processes(processes)
    sets = sets_of(spec, rows)
    order = Order("examples", "prepare", VERSION, spec.model_dump(mode="json"), _inputs(spec, model, rows, sets))

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.prepare.build import build_examples  # loads transformers

        return build_examples(spec, model.folder, sets or rows_sets(spec, rows), out, work, tell, processes)

    return store.make(order, build, tell)


def _inputs(spec: PrepareSpec, model: Artifact, rows: Artifact | None, sets: Sets) -> dict[str, str]:
    """Give all that bears on the outcome: the content of every file, and its name where the spec does not say it."""
    inputs = {"model": model.id, **({"rows": rows.id} if rows is not None else {})}
    named = {path for one, _ in sets for path in one.paths}
    sources = [source for _, files in sets for source in files]
    for number, source in enumerate(sources):
        key = f"source[{number}]" if source.label in named else f"source[{number}] {source.label}"
        inputs[key] = source.identity()
    asked = {"weights": spec.weights, "clean.blocklist": spec.clean.blocklist}
    inputs |= _exams(spec) if spec.lint.against else {}
    return inputs | {name: _sha256(path, name) for name, path in asked.items() if path is not None}


def _exams(spec: PrepareSpec) -> dict[str, str]:
    from luthier.prepare.lint.exam import find_exam  # loads numpy

    found = {f"lint.against[{number}]": find_exam(named) for number, named in enumerate(spec.lint.against)}
    return {f"{key}{part}": content for key, exam in found.items() for part, content in exam.contents().items()}


def _sha256(path: str, key: str) -> str:
    if not Path(path).is_file():
        raise DataError(f"there is no file {path!r}", where=f"key {key}", mend="give the path of a file")
    return f"sha256:{atomic.sha256(Path(path))}"
