"""Events pass through one file of JSON lines unharmed, as they come."""

import json
from dataclasses import fields
from pathlib import Path

import pytest

from luthier import event
from luthier.event import KINDS, Event, EventFile, Tell, from_json, hush, to_json

ONE_OF_EACH: list[Event] = [
    event.Started("tune", "adapter-1"),
    event.Skipped("tune", "adapter-1", "folder"),
    event.Made("tune", "adapter-1", "folder", 1.5),
    event.Chose("dtype", "bfloat16", "avx512_bf16 found"),
    event.Progress("rows", 3, 10, "rows"),
    event.Step(1, 2, 0.5, 1.25, 0.5, 1e-4, 100.0, 3.0, None),
    event.Counted("rows", {"kept": 3, "dropped, because": 1}),
    event.Compared("", "rouge_l", 0.1, 0.2, 0.1, 0.05, 0.15, 100),
    event.Estimated("heldout", "exact_match", 0.5, 0.4, 0.6, 30),
    event.Called("clock", '{"zone": "UTC"}', "done", "12:00", 0.5),
    event.Judged("rouge_l.after >= 0.3", "0.31", True),
    event.Warned("odd", "look"),
    event.Said("中文 \n and a line"),
    event.Failed("wrong", "here", "so"),
]


def test_there_is_one_of_each_event() -> None:
    assert sorted(type(told).__name__ for told in ONE_OF_EACH) == sorted(KINDS)


@pytest.mark.parametrize("told", ONE_OF_EACH, ids=lambda told: type(told).__name__)
def test_an_event_comes_back_from_its_line(told: Event) -> None:
    line = to_json(told, 1234.56789)
    assert "\n" not in line
    plain = json.loads(line)
    assert (plain["event"], plain["at"]) == (type(told).__name__, 1234.568)
    assert set(plain) == {"event", "at", *(field.name for field in fields(told))}
    assert from_json(line) == told


def test_the_file_holds_each_event_as_soon_as_it_is_told_and_hands_it_on(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "one" / "events.jsonl"
    onward: list[Event] = []
    with EventFile(path, onward.append) as tell:
        for count, told in enumerate(ONE_OF_EACH, start=1):
            tell(told)
            assert len(path.read_text(encoding="utf-8").splitlines()) == count
    assert [from_json(line) for line in path.read_text(encoding="utf-8").splitlines()] == ONE_OF_EACH
    assert onward == ONE_OF_EACH


def test_the_file_is_closed_and_whole_when_the_run_dies(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    kept: list[Tell] = []

    def run() -> None:
        with EventFile(path) as tell:
            kept.append(tell)
            tell(event.Said("last words"))
            raise RuntimeError("died")

    with pytest.raises(RuntimeError, match="died"):
        run()
    assert from_json(path.read_text(encoding="utf-8")) == event.Said("last words")
    with pytest.raises(ValueError, match="closed"):
        kept[0](event.Said("too late"))


def test_a_second_run_adds_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for word in ("one", "two"):
        with EventFile(path) as tell:
            tell(event.Said(word))
    assert [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines()] == ["one", "two"]


def test_hush_takes_any_event() -> None:
    for told in ONE_OF_EACH:
        hush(told)
