"""Traffic: what a server wrote is read back as it was, and sealed once."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.artifact.store import Store
from luthier.artifact.traffic import NAME, Exchange, Reply, line_of, read_exchanges, seal_traffic
from luthier.errors import DataError
from luthier.event import Event, Skipped, hush

ASKED = ({"role": "user", "content": "怎么修琴？"},)
SHADOW = Exchange(
    "2026-01-02T03:04:05+00:00",
    "chatcmpl-1",
    ASKED,
    "release-1",
    "release-2",
    Reply("fine", "stop", 0.5, 1),
    Reply("", "", 1.5, error="out of memory"),
)


def written(path: Path, *exchanges: Exchange, tail: str = "") -> Path:
    path.write_text("".join(f"{line_of(each)}\n" for each in exchanges) + tail, encoding="utf-8")
    return path


def test_exchanges_come_back_as_they_were_written(tmp_path: Path) -> None:
    canary = replace(SHADOW, request="chatcmpl-2", stable=None)
    path = written(tmp_path / "x.jsonl", SHADOW, canary)
    assert list(read_exchanges(path)) == [SHADOW, canary]


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", SHADOW, tail=line_of(SHADOW)[:40])
    assert list(read_exchanges(path)) == [SHADOW]


def test_the_same_exchanges_are_sealed_once_and_name_the_two_releases(
    store: Store, tmp_path: Path, told: list[Event]
) -> None:
    path = written(tmp_path / "x.jsonl", SHADOW)
    made = seal_traffic(store, path, hush)
    assert (made.kind, made.card.inputs["stable"], made.card.inputs["canary"]) == ("traffic", "release-1", "release-2")
    assert made.card.figures == {"exchanges": 1, "first": SHADOW.at, "last": SHADOW.at}
    assert list(read_exchanges(made.folder / NAME)) == [SHADOW]
    assert seal_traffic(store, path, told.append).id == made.id
    assert [type(event) for event in told] == [Skipped]
    assert seal_traffic(store, written(path, SHADOW, SHADOW), hush).id != made.id


@pytest.mark.parametrize("line", ["no json", "[]", json.dumps({"at": ""}), line_of(SHADOW)[:-1] + ', "more": 1}'])
def test_a_line_that_cannot_be_read_is_named(line: str, tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", SHADOW, tail=f"{line}\n")
    with pytest.raises(DataError) as caught:
        list(read_exchanges(path))
    assert caught.value.where == f"{path}:2"
    assert "docs/artifacts.md" in caught.value.mend


def test_exchanges_of_two_pairs_or_of_none_are_refused(store: Store, tmp_path: Path) -> None:
    path = written(tmp_path / "x.jsonl", SHADOW, replace(SHADOW, canary_id="release-3"))
    with pytest.raises(DataError, match="exchanges of 2 pairs of releases") as caught:
        seal_traffic(store, path, hush)
    assert (caught.value.where, caught.value.mend) == (str(path), "begin a file for each pair")
    with pytest.raises(DataError, match="exchanges of 0 pairs") as caught:
        seal_traffic(store, written(path), hush)
    assert caught.value.mend == "ask the server something first"
