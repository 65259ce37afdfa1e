"""Several processes of one model: whoever dies or falls silent is left out, and what has not begun goes elsewhere."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luthier.engine.ports import ChatModel, Closing, Concurrent, Sampling, Watched, words_of
from luthier.engine.workers import SILENT_SECONDS, WorkersModel, open_workers
from luthier.errors import DataError, ServeError
from luthier.event import hush

Open = Callable[..., WorkersModel]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Give a function that starts fake workers, all ended at the end."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]))
    models: list[WorkersModel] = []

    def one(count: int = 2, slow: float = 0.0, **opening: object) -> WorkersModel:
        models.append(open_workers(count, {"open": "m", "slow": slow, **opening}, name="m", module="fake_worker"))
        return models[-1]

    yield one
    for model in models:
        model.close()


def never() -> bool:
    return False


def who(model: WorkersModel) -> int:
    """Give the number of the process that answered."""
    return int(model.answer(["hello"], Sampling(), hush)[0].text.split()[0])


def test_it_obeys_the_ports_with_what_its_workers_say(opened: Open) -> None:
    model = opened(3)
    obeying: ChatModel = model
    assert isinstance(obeying, Concurrent)
    assert isinstance(obeying, Watched)
    assert isinstance(obeying, Closing)
    assert (model.name, model.at_once, dict(model.defaults)) == ("m", 12, {"temperature": 0.0})
    assert model.takes == {"max_tokens", "temperature"}
    assert model.ailing() == ""
    with pytest.raises(DataError, match="top_k is 3"):
        model.stream("hello", Sampling(top_k=3), never)


def test_requests_go_to_the_least_busy(opened: Open) -> None:
    model = opened(2, slow=0.3)
    answers = model.answer(["hello"] * 4, Sampling())
    counts = [
        sum(int(answer.text.split()[0]) == worker.process_number for answer in answers) for worker in model.workers
    ]
    assert counts == [2, 2]


def test_a_stream_comes_whole_and_a_refusal_is_the_requests(opened: Open) -> None:
    model = opened(1)
    pieces = list(model.stream("hello", Sampling(), never))
    assert pieces[-1].answer is not None
    assert "".join(piece.text for piece in pieces) == pieces[-1].answer.text
    with pytest.raises(DataError, match="too long") as caught:
        list(model.stream("refuse", Sampling(), never))
    assert (caught.value.where, caught.value.mend) == ("the prompt", "shorten it")


def test_what_has_not_begun_when_its_worker_dies_is_answered_by_another(opened: Open) -> None:
    model = opened(2, slow=0.5)
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.append(model.answer(["hello"], Sampling())[0].text)) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.2)  # asked, and nothing said yet
    dead = model.workers[0].process_number or 0
    os.kill(dead, signal.SIGKILL)
    for thread in threads:
        thread.join(timeout=30)
    assert len(answers) == 6
    assert str(dead) not in " ".join(answers)


def test_what_has_begun_goes_on_at_another_from_where_it_broke_off(opened: Open) -> None:
    model = opened(2, slow=0.3, same=True)
    stream = model.stream("hello", Sampling(), never)
    pieces = [next(stream)]
    busy = next(worker for worker in model.workers if worker.load)
    os.kill(busy.process_number or 0, signal.SIGKILL)
    pieces += stream
    assert [piece.token_ids for piece in pieces] == [(0,), (1,), (2,)]
    assert pieces[-1].answer is not None
    assert "".join(piece.text for piece in pieces) == pieces[-1].answer.text


def test_what_another_says_otherwise_ends_with_an_error(opened: Open) -> None:
    model = opened(1, slow=0.3)
    stream = model.stream("hello", Sampling(), never)
    assert next(stream).text
    os.kill(model.workers[0].process_number or 0, signal.SIGKILL)
    with pytest.raises(ServeError, match=r"SIGKILL|otherwise"):
        list(stream)
    assert who(model) == model.workers[0].process_number  # the one that was started in its place


def test_one_that_is_stuck_leaves_rotation_within_two_seconds_and_is_replaced(opened: Open) -> None:
    model = opened(2)
    stuck = model.workers[0].process_number or 0
    os.kill(stuck, signal.SIGSTOP)
    begun = time.monotonic()
    answered = [who(model) for _ in range(6)]
    assert stuck not in answered
    assert time.monotonic() - begun < SILENT_SECONDS + 3
    end = time.monotonic() + 30
    while model.workers[0].process_number in (stuck, None) and time.monotonic() < end:
        time.sleep(0.1)
    assert model.workers[0].process_number != stuck
    assert model.ailing() == ""


def test_prompts_are_counted_by_a_worker_and_by_another_where_it_is_lost(opened: Open) -> None:
    assert words_of(opened(1)) is None
    model = opened(2, tells={"context": 9, "vocabulary": 300})
    words = words_of(model)
    assert words is not None
    assert (words.context, words.vocabulary) == (9, 300)
    assert words.encode("hé") == (104, 233)
    os.kill(model.workers[0].process_number or 0, signal.SIGSTOP)
    assert [words.encode("a") for _ in range(3)] == [(97,)] * 3
    with pytest.raises(DataError, match="too long") as caught:
        words.encode("refuse")
    assert (caught.value.where, caught.value.mend) == ("the prompt", "shorten it")
    model.close()
    assert words.spell([7, 7]) == ["gé".encode()] * 2  # known by now: answers that end meanwhile still have their bytes


def test_without_any_worker_it_says_why(opened: Open) -> None:
    model = opened(1)
    os.kill(model.workers[0].process_number or 0, signal.SIGSTOP)
    time.sleep(SILENT_SECONDS + 0.4)
    assert "silent for" in model.ailing()


def test_workers_that_cannot_open_their_model_say_so(opened: Open) -> None:
    with pytest.raises(ServeError, match="there is no such model"):
        opened(2, dies=True)
