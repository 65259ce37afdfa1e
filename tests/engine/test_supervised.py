"""A process that dies, hangs or never begins: what its requests are told, and how it comes back."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from queue import SimpleQueue

import pytest

from luthier.engine.room import Room
from luthier.engine.supervised import Box, Step, Supervised
from luthier.errors import DataError, RoomError, ServeError
from luthier.event import Event, Warned

Make = Callable[..., Supervised]


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, told: list[Event]) -> Iterator[Make]:
    """Give a function that makes engines of the fake child, all closed at the end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    made: list[Supervised] = []

    def one(name: str = "fake", peak_bytes: int = 0, stuck_seconds: float = 60.0, **opening: object) -> Supervised:
        line = {"open": "folder", **opening}
        more = {"peak_bytes": peak_bytes, "stuck_seconds": stuck_seconds}
        engine = Supervised("fake_child", line, name=name, tell=told.append, **more)  # type: ignore[arg-type]
        made.append(engine)
        return engine

    yield one
    for engine in made:
        engine.close()


def asked(engine: Supervised, do: str = "answer") -> list[Step | Exception]:
    """Ask once; give what comes until the end."""
    box: Box = SimpleQueue()
    engine.ask({"do": do}, box)
    found = [box.get(timeout=30)]
    while isinstance(found[-1], Step) and found[-1].finish is None:
        found.append(box.get(timeout=30))
    return found


def test_steps_come_until_the_end(make: Make) -> None:
    engine = make()
    engine.start()
    assert asked(engine) == [Step(0, [7], None), Step(0, [8], "stop")]
    assert [step.number for step in asked(engine) if isinstance(step, Step)] == [1, 1]
    assert engine.ailing() == ""


def test_what_is_asked_together_comes_in_one_line(make: Make) -> None:
    engine = make()
    box: Box = SimpleQueue()
    assert engine.ask_all([{"do": "answer"}, {"do": "refuse"}, {"do": "answer"}], box) == [0, 1, 2]
    found = [box.get(timeout=30) for _ in range(5)]
    assert [one for one in found if isinstance(one, Step)] == [
        Step(0, [7], None),
        Step(0, [8], "stop"),
        Step(2, [27], None),  # the third of its line
        Step(2, [8], "stop"),
    ]
    [refused] = [one for one in found if isinstance(one, Exception)]
    assert str(refused).startswith("no such schema")
    assert engine.load == 0


def test_a_crash_is_told_to_its_requests_and_the_next_ones_are_answered(make: Make, told: list[Event]) -> None:
    engine = make()
    engine.start()
    first = engine.process_number
    [error] = asked(engine, "die")
    assert isinstance(error, ServeError)
    assert "was ended by SIGABRT" in error.what
    assert error.where == "folder"
    assert "started anew" in error.mend
    assert len(asked(engine)) == 2
    assert engine.process_number != first
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert "fake: its process was ended by SIGABRT" in warned.what


def test_one_that_dies_again_and_again_is_left_alone_for_longer_each_time(make: Make) -> None:
    engine = make()
    engine.start()
    refusals: list[str] = []
    ailed: list[str] = []
    for _ in range(3):
        begun = time.monotonic()
        while True:
            try:
                asked(engine, "die")
                break
            except ServeError as error:
                refusals.append(error.what)
                ailed.append(engine.ailing())
                time.sleep(0.05)
        waited = time.monotonic() - begun
    assert refusals
    assert all("times in a row; it is started again in" in what for what in refusals)
    assert any(why.startswith("its process was ended") for why in ailed)
    assert waited > 0.9  # the third start came after a pause of a second
    with pytest.raises(ServeError):  # the fourth waits two: whoever asks now is told at once
        engine.ask({}, SimpleQueue())


def test_one_that_never_begins_says_its_last_words_and_is_not_tried_again(make: Make) -> None:
    engine = make(dies=True)
    with pytest.raises(ServeError) as caught:
        engine.start()
    assert "ended with status 3: cannot read the weights" in caught.value.what
    time.sleep(0.2)
    assert engine.process_number is None


def test_one_that_hangs_is_killed(make: Make) -> None:
    engine = make(stuck_seconds=0.8)
    engine.start()
    [error] = asked(engine, "hang")
    assert isinstance(error, ServeError)
    assert "SIGKILL" in error.what


def test_what_the_engine_refuses_is_the_requests_fault(make: Make) -> None:
    engine = make()
    [error] = asked(engine, "refuse")  # the first request starts it
    assert isinstance(error, DataError)
    assert (error.what, error.where) == ("no such schema", "the engine")
    assert "as the message says" in error.mend
    assert len(asked(engine)) == 2


def test_closing_ends_the_requests_and_the_process(make: Make) -> None:
    engine = make()
    engine.start()
    number = engine.process_number
    box: Box = SimpleQueue()
    engine.ask({"do": "nothing"}, box)
    engine.close()
    assert isinstance(box.get(timeout=5), ServeError)
    assert number is not None
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    with pytest.raises(ServeError, match="it is closed"):
        engine.ask({}, SimpleQueue())


def test_the_one_asked_longest_ago_makes_room_and_comes_back_when_asked(make: Make) -> None:
    room = Room(budget_bytes=200)
    engines = [make(name, 100) for name in "abc"]
    for engine in engines[:2]:
        room.take_in(engine)
    asked(engines[0])
    room.take_in(engines[2])
    assert [engine.is_running for engine in engines] == [True, False, True]
    assert len(asked(engines[1])) == 2
    assert [engine.is_running for engine in engines] == [False, True, True]


def test_who_is_busy_is_not_put_to_rest(make: Make) -> None:
    room = Room(budget_bytes=150)
    busy, other = make("busy", 100), make("other", 100)
    room.take_in(busy)
    busy.ask({"do": "nothing"}, SimpleQueue())
    with pytest.raises(RoomError, match="other needs") as caught:
        room.take_in(other)
    assert "a budget of" in caught.value.where
    assert "less busy" in caught.value.mend
    assert busy.is_running
