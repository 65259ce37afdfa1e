"""Shipped tasks on the real data sets, asked of the tiny model: rows are read, answers proven, figures written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel, open_local
from luthier.evaluate.own_rows import read_own
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Event
from luthier.measure.calls import are_right
from luthier.measure.shipped import find_task
from luthier.measure.task import read_task

DataFolder = Callable[[str], Path]
TASKS = {
    "mmlu": ("mmlu/mmlu.zip", "accuracy", {"where": "_file == 'astronomy_test'"}),
    "bfcl": ("bfcl/BFCL_v4_simple_python.json", "calls", {"where": "(function | string | length) < 270"}),
    "bfcl_irrelevance": ("bfcl/BFCL_v4_irrelevance.json", "calls", {"where": "(function | string | length) < 270"}),
    "reading": ("cmrc2018/cmrc2018_dev.json.gz", "token_f1", {"prompt": "{{ context[:150] }} {{ question }}"}),
    "text_perplexity": ("wikitext2/test.txt.gz", "perplexity", {"max_tokens": 64}),
    "tweet_sentiment": ("tweeteval/sentiment/test_text.txt", "accuracy", {}),
}
"""Task -> its rows, its first metric, what is changed: the tiny model reads 512 tokens, so short rows are asked."""


@pytest.mark.parametrize("name", TASKS)
def test_a_shipped_task_reads_and_asks_the_real_rows(
    name: str, data_folder: DataFolder, tiny_model: Artifact, store: Store, tmp_path: Path, told: list[Event]
) -> None:
    place, metric, changed = TASKS[name]
    path = data_folder(place.partition("/")[0]) / place.partition("/")[2]
    settings = yaml.safe_load(find_task(name).read_text(encoding="utf-8")) | {"max_tokens": 4} | changed
    (tmp_path / "task.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")

    def open_tiny(artifact: Artifact) -> LocalModel:
        return open_local(artifact.folder, name=artifact.id, dtype="float32", device="cpu")

    spec = EvaluateSpec(task=str(tmp_path / "task.yaml"), rows=str(path), alone=True, bootstrap=100, limit=2)
    made = evaluate(spec, None, None, None, tiny_model, store, told.append, open_tiny)
    [table] = [found for found in made.card.figures.values() if isinstance(found, dict)]
    assert table["rows"] == 2
    assert table["metrics"][metric]["value"] is not None
    written = [event.value for event in told if isinstance(event, Chose) and event.what == "tools"]
    assert written == (["written as text"] if "tools" in settings else [])


def test_the_right_calls_of_every_bfcl_row_are_right(data_folder: DataFolder) -> None:
    rows = read_own(read_task(find_task("bfcl")), data_folder("bfcl") / "BFCL_v4_simple_python.json")
    assert len(rows) > 350
    for row in rows:
        [call] = json.loads(row.reference)
        [(name, arguments)] = call.items()
        said = {"name": name, "arguments": _first(arguments)}
        assert are_right(json.dumps(said), row.reference), row.source
        assert not are_right(json.dumps({**said, "name": "another"}), row.reference)


def _first(allowed: dict[str, list[Any]]) -> dict[str, Any]:
    """Give each argument's first allowed value, and leave out those that may be missing."""
    return {key: _plain(values[0]) for key, values in allowed.items() if values[0] != ""}


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return _first(value) if isinstance(value, dict) else value
