"""The door of `prepare`: it hashes what comes from outside, and makes examples only if they are not there yet."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store, check_kind
from luthier.errors import SpecError
from luthier.event import Tell
from luthier.prepare.source import Source, find_sources
from luthier.prepare.spec import PrepareSpec

VERSION = 1


def prepare(spec: PrepareSpec, model: Artifact, rows: Artifact | None, store: Store, tell: Tell) -> Artifact:
    """Make an artifact of the kind `examples`: three splits, each as JSON lines and as tokens of the model's template.

    Rows come from the files in `spec.source`, or from the `rows` artifact where the spec names none.
    Raises DataError for files and rows that cannot be used (file:line), SpecError if no rows are given or two sorts
    of them, KindError for an input of another kind, ModelError for a model without tokenizer or chat template.
    """
    check_kind(model, "model", "model")
    sources = _sources(spec, rows)
    inputs = {"model": model.id}
    if rows is not None:
        inputs["rows"] = rows.id
    else:
        inputs |= {f"source[{n}]": f"sha256:{atomic.sha256(source.path)}" for n, source in enumerate(sources)}
    order = Order("examples", "prepare", VERSION, spec.model_dump(mode="json"), inputs)

    def build(out: Path, work: Path) -> Mapping[str, Any]:
        from luthier.prepare.build import build_examples  # loads transformers

        return build_examples(spec, model.folder, sources, out, tell)

    return store.make(order, build, tell)


def _sources(spec: PrepareSpec, rows: Artifact | None) -> list[Source]:
    if rows is None and not spec.paths:
        raise SpecError("no rows are given", where="key source", mend="set source=FILE, or fetch rows before")
    if rows is None:
        return find_sources(spec.paths)
    if spec.paths:
        raise SpecError(
            f"rows come from {rows.id} and from source={', '.join(spec.paths)}",
            where="key source",
            mend="leave out one of the two",
        )
    check_kind(rows, "rows", "rows")
    return [Source(rows.folder / "rows.jsonl", f"{rows.id}/rows.jsonl")]
