"""Rows from docstrings, as an artifact."""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, FetchError
from luthier.event import Counted, Event, hush
from luthier.fetch.plan import expected_bytes
from luthier.fetch.questions import ANSWER_WORDS
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec


@pytest.fixture(scope="module")
def stdlib(tiny_store: Store) -> Artifact:
    """The rows of the standard library."""
    return fetch(FetchSpec(source="python:stdlib"), tiny_store, hush)


def test_the_standard_library_gives_a_few_thousand_objects(stdlib: Artifact) -> None:
    rows = [json.loads(line) for line in (stdlib.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    functions = {row["function"] for row in rows}
    assert 3000 < len(functions) < 6000
    assert len(rows) == 3 * len(functions) == stdlib.card.figures["rows"]
    dedent = next(row for row in rows if row["function"] == "textwrap.dedent")
    said = "`textwrap.dedent(text)`: Remove any common leading whitespace from every line in `text`."
    assert dedent["answer"] == said  # docs.python.org/3/library/textwrap.html
    assert max(len(row["answer"].split()) for row in rows) <= ANSWER_WORDS
    assert not [row for row in rows if "\n" in row["answer"] or " at 0x" in row["answer"]]


def test_rows_hang_on_the_version_of_python(stdlib: Artifact) -> None:
    assert stdlib.kind == "rows"
    assert stdlib.order.choices == {"python": f"{platform.python_version()} {sys.platform}"}


def test_another_run_gives_the_same_bytes(stdlib: Artifact, store: Store, told: list[Event]) -> None:
    again = fetch(FetchSpec(source="python:stdlib"), store, told.append)
    assert again.id == stdlib.id
    assert again.card.files == stdlib.card.files
    counted = [event for event in told if isinstance(event, Counted)]
    assert counted[0].counts["kept"] * 3 == stdlib.card.figures["rows"]


def test_the_plan_is_not_far_off(stdlib: Artifact) -> None:
    expected = expected_bytes(FetchSpec(source="python:stdlib"))
    assert expected == pytest.approx(stdlib.card.files["rows.jsonl"]["bytes"], rel=0.3)


def test_an_installed_package_is_a_source_too(store: Store) -> None:
    made = fetch(FetchSpec(source="python:filelock"), store, hush)
    rows = [json.loads(line) for line in (made.folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert rows
    assert {row["function"].split(".")[0] for row in rows} == {"filelock"}
    assert made.order.choices["package"] == f"filelock {version('filelock')}"
    assert expected_bytes(FetchSpec(source="python:filelock")) is None


def test_a_package_that_is_not_installed_names_the_command(store: Store) -> None:
    with pytest.raises(FetchError, match="'stradivari' is not installed") as caught:
        fetch(FetchSpec(source="python:stradivari"), store, hush)
    assert caught.value.where == "fetch, key source"
    assert "pip install stradivari" in caught.value.mend


def test_a_package_without_docstrings_is_refused(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "violin_mute").mkdir()
    (tmp_path / "violin_mute" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(DataError, match="nothing in 'violin_mute'") as caught:
        fetch(FetchSpec(source="python:violin_mute"), store, hush)
    assert caught.value.where == "fetch, key source"
    assert "python:stdlib" in caught.value.mend
