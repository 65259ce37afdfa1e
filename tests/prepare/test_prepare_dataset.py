"""Data sets by name: local folders, repositories of a hub, and what the cache holds of them without a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from dataset_hub import COMMIT, NAME, serving
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled, RevisionNotFoundError

from luthier.errors import DataError
from luthier.event import Chose, Event, hush
from luthier.prepare.rows import batches, parse, read_rows
from luthier.prepare.source import find_sources

FILES = {
    "README.md": b"---\nconfigs:\n- config_name: default\n  data_files:\n"
    b"  - split: train\n    path: data/train.jsonl\n  - split: test\n    path: data/test.jsonl\n---\n",
    "data/train.jsonl": b'{"text": "a", "label": 1}\n{"text": "b", "label": 0}\n',
    "data/test.jsonl": b'{"text": "c", "label": 0}\n',
}
READ = """
import json, sys
from luthier.event import hush
from luthier.prepare.rows import read_rows
from luthier.prepare.source import find_sources
(source,) = find_sources([sys.argv[1]])
print(json.dumps([source.identity(), [row.data for row in read_rows(source, "auto", hush)]]))
"""


def saved(folder: Path) -> Path:
    features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
    rows = Dataset.from_dict({"text": ["a", "b", "c"], "label": [1, 0, 1]}, features=features)
    DatasetDict({"train": rows, "test": rows.select([0])}).save_to_disk(str(folder / "saved"))
    return folder / "saved"


def test_a_saved_data_set_is_read_with_its_names_and_the_split_is_told(tmp_path: Path, told: list[Event]) -> None:
    label = f"dataset:{saved(tmp_path)}"
    (source,) = find_sources([label])
    rows = list(read_rows(source, "auto", told.append))
    assert [row.data for row in rows if not hasattr(row, "reason")] == [
        {"text": "a", "label": "yes"},
        {"text": "b", "label": "no"},
        {"text": "c", "label": "yes"},
    ]
    assert told == [Chose("split", "train", f"none is named; {label} has test too (add ?split=NAME)")]
    assert [row for batch in batches(source, "auto", 2, hush) for row in parse(batch)] == rows
    assert (source.bytes, source.files) == (0, ())


@pytest.mark.slow
def test_a_folder_of_files_is_read_and_its_content_is_its_identity(tmp_path: Path) -> None:
    for name, data in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (source,) = find_sources([f"dataset:{tmp_path}?split=test"])
    assert [row.data for row in read_rows(source, "auto", hush) if not hasattr(row, "reason")] == [
        {"text": "c", "label": 0}
    ]
    before = source.identity()
    assert before.startswith("sha256:")
    (tmp_path / "data" / "test.jsonl").write_text('{"text": "d", "label": 0}\n')
    (source,) = find_sources([f"dataset:{tmp_path}?split=test"])
    assert source.identity() != before


@pytest.mark.parametrize(
    ("query", "what", "mend"),
    [
        ("?split=dev", "there is no split 'dev'", "name one of the splits there are: train, test"),
        ("?spilt=test", "'spilt' is no setting of a data set", "write split"),
        ("/train?split=train", "it was saved without splits", "leave split out"),
        ("?config=x", "a saved data set has no configurations", "leave config out"),
        ("?revision=main", "a folder has no revision", "leave revision out"),
    ],
)
def test_a_wrong_setting_is_answered_with_those_there_are(tmp_path: Path, query: str, what: str, mend: str) -> None:
    label = f"dataset:{saved(tmp_path)}{query}"
    with pytest.raises(DataError) as caught:
        list(read_rows(find_sources([label])[0], "auto", hush))
    assert (caught.value.what, caught.value.mend) == (what, mend)
    assert caught.value.where == label


def test_no_name_and_an_empty_folder_are_data_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no data set is named"):
        find_sources(["dataset:"])
    label = f"dataset:{tmp_path}"
    with pytest.raises(DataError) as caught:
        list(read_rows(find_sources([label])[0], "auto", hush))
    assert caught.value.what.startswith("datasets cannot read it: ")
    assert caught.value.where == label
    assert "give its files as source" in caught.value.mend


def run(code: str, label: str, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run in a process of its own: the libraries read these variables once, when they are loaded."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", **variables}
    command = [sys.executable, "-c", code, label]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.slow
def test_a_repository_is_read_at_its_commit_and_from_the_cache_without_a_network(tmp_path: Path) -> None:
    label = f"dataset:{NAME}?split=train"
    wanted = [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    with serving(FILES) as address:
        done = run(READ, label, tmp_path, HF_ENDPOINT=address)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == [f"commit:{COMMIT}", wanted]
        missing = run(READ, "dataset:maker/harps", tmp_path, HF_ENDPOINT=address)
        assert "there is no data set 'maker/harps'" in missing.stderr
        loaded = run("import sys, datasets; datasets.load_dataset(sys.argv[1])", NAME, tmp_path, HF_ENDPOINT=address)
        assert loaded.returncode == 0, loaded.stderr
    offline = run(READ, label, tmp_path, HF_ENDPOINT=address, HF_HUB_OFFLINE="1")
    assert offline.returncode == 0, offline.stderr
    assert json.loads(offline.stdout) == [f"commit:{COMMIT}", wanted]


def answer(status: int) -> httpx.Response:
    return httpx.Response(status, request=httpx.Request("GET", "https://hub.example"))


@pytest.mark.parametrize(
    ("error", "what", "mend"),
    [
        (HfHubHTTPError.__bases__[0]("no route"), "there is no connection to the hub: no route", "check the network"),
        (OfflineModeIsEnabled("off"), "the network may not be asked (HF_HUB_OFFLINE)", "unset HF_HUB_OFFLINE"),
        (RevisionNotFoundError("404", response=answer(404)), "the hub refuses it: 404", "mend revision"),
    ],
)
def test_where_the_hub_gives_nothing_and_nothing_is_cached_the_cause_is_said(
    error: Exception, what: str, mend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: object, **more: object) -> None:
        raise error

    def not_here(*arguments: object, **more: object) -> None:
        raise ConnectionError("Couldn't reach 'nobody/nothing' on the Hub")

    monkeypatch.setattr("huggingface_hub.HfApi.dataset_info", fail)
    monkeypatch.setattr("datasets.load_dataset", not_here)
    with pytest.raises(DataError) as caught:
        find_sources(["dataset:nobody/nothing"])
    assert caught.value.what == f"{what}; nor does the cache hold it: Couldn't reach 'nobody/nothing' on the Hub"
    assert caught.value.where == "dataset:nobody/nothing"
    assert caught.value.mend.startswith(mend)
    assert "mend the name" not in caught.value.mend


@pytest.mark.slow
def test_a_hub_that_cannot_be_reached_is_an_error_in_our_words_where_nothing_is_cached(tmp_path: Path) -> None:
    done = run(READ, f"dataset:{NAME}", tmp_path, HF_ENDPOINT="http://127.0.0.1:9")
    assert "luthier.errors.DataError: there is no connection to the hub: " in done.stderr
    assert "During handling" not in done.stderr
