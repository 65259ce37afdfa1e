"""Shipped tasks on the real data sets, asked of the tiny model: rows are read, answers proven, figures written."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel, open_local
from luthier.evaluate.own_rows import read_own
from luthier.evaluate.run import evaluate
from luthier.evaluate.shipped import find_task
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import Chose, Event
from luthier.measure.calls import are_right
from luthier.measure.task import read_task

DataFolder = Callable[[str], Path]
SHORT = {
    "mmlu": ("mmlu/mmlu.zip", 14_042, "accuracy"),
    "bfcl": ("bfcl/BFCL_v4_simple_python.json", 400, "calls"),
    "bfcl_irrelevance": ("bfcl/BFCL_v4_irrelevance.json", 240, "calls"),
    "reading": ("cmrc2018/cmrc2018_dev.json.gz", 3_219, "token_f1"),
    "text_perplexity": ("wikitext2/test.txt.gz", 0, "perplexity"),
    "tweet_sentiment": ("tweeteval/sentiment/test_text.txt", 12_284, "accuracy"),
}
"""Task -> its rows, how many the publisher counts (0: not counted), its first metric."""


@pytest.mark.parametrize("task", SHORT)
def test_a_shipped_task_reads_and_asks_the_real_rows(
    task: str, data_folder: DataFolder, tiny_model: Artifact, store: Store, tmp_path: Path, told: list[Event]
) -> None:
    place, count, metric = SHORT[task]
    folder, _, name = place.partition("/")
    path = data_folder(folder) / name
    quick = tmp_path / "task.yaml"
    cut = ("prompt",) if task == "reading" else ()
    text = find_task(task).read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith(("max_tokens", "title", *cut))]
    cap = 64 if task == "text_perplexity" else 4
    # the tiny model reads 512 tokens: only rows that fit are asked, and of a passage its beginning
    fits = {
        "reading": 'prompt: "{{ context[:150] }} {{ question }}"',
        "bfcl": "where: (function | string | length) < 270",
        "bfcl_irrelevance": "where: (function | string | length) < 270",
    }
    extra = fits.get(task, "")
    quick.write_text("\n".join([*lines, f"title: {task}", f"max_tokens: {cap}", extra]), encoding="utf-8")

    def open_tiny(artifact: Artifact) -> LocalModel:
        return open_local(artifact.folder, name=artifact.id, dtype="float32", device="cpu")

    spec = EvaluateSpec(task=str(quick), rows=str(path), alone=True, bootstrap=100, limit=2)
    if task == "mmlu":  # 57 subjects: one will do
        more = "\nwhere: _file == 'astronomy_test'\n"
        quick.write_text(quick.read_text(encoding="utf-8") + more, encoding="utf-8")
    made = evaluate(spec, None, None, None, tiny_model, store, told.append, open_tiny)
    [table] = [found for found in made.card.figures.values() if isinstance(found, dict)]
    assert table["rows"] == 2
    assert table["metrics"][metric]["value"] is not None
    if task == "bfcl":
        assert [event.value for event in told if isinstance(event, Chose) and event.what == "tools"] == [
            "written as text"
        ]
    if count and task not in fits and task != "mmlu":
        assert len(read_own(read_task(find_task(task)), path)) == pytest.approx(count, rel=0.01)  # rows asked twice go


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
