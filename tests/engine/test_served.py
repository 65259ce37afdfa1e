"""Servers that we start: watched, asked, started again, stopped; against one that speaks vLLM's protocol."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from luthier import sidecar
from luthier.artifact.example import Message
from luthier.engine.ports import ChatModel, Closing, Concurrent, Sampling, Watched
from luthier.engine.served import SERVERS, ServedModel, Start, open_served
from luthier.errors import DataError, ModelError, ServeError, ToolError
from luthier.event import Event, Warned

FAKE = Path(__file__).with_name("fake_server.py")
QUESTION = (Message("user", "Who are you?"),)
Open = Callable[..., ServedModel]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a project in which the tool vllm is set up: its program is the fake server."""
    place = sidecar.folder(tmp_path, "vllm")
    program = sidecar.program(place, "vllm")
    program.parent.mkdir(parents=True)
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {FAKE} "$@"\n')
    program.chmod(0o755)
    (place / "pins.txt").write_text("")
    return tmp_path


@pytest.fixture
def opened(project: Path, told: list[Event]) -> Iterator[Open]:
    """Give a function that opens servers, all stopped at the end."""
    models: list[ServedModel] = []

    def one(folder: str = "model", adapter: Path | None = None) -> ServedModel:
        models.append(open_served("vllm", project, project / folder, name="mine", adapter=adapter, tell=told.append))
        return models[-1]

    yield one
    for model in models:
        model.close()


def test_it_is_started_asked_and_stopped(opened: Open) -> None:
    model = opened()
    obeying: ChatModel = model
    assert isinstance(obeying, Concurrent)
    assert isinstance(obeying, Watched)
    assert isinstance(obeying, Closing)
    assert model.ailing() == ""
    [answer] = model.answer([QUESTION], Sampling())
    assert (answer.text, answer.token_ids, answer.prompt_ids) == ("I am mine", (5,), (1,))
    assert [piece.text for piece in model.stream(QUESTION, Sampling(), lambda: False)] == ["I am mine", ""]
    number = model.process_number or 0
    model.close()
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)
    with pytest.raises(ServeError, match="it is closed"):
        model.answer([QUESTION], Sampling())


def test_one_that_dies_is_told_and_comes_back(opened: Open, told: list[Event]) -> None:
    model = opened()
    number = model.process_number
    with pytest.raises(ServeError):
        model.answer([(Message("user", "die"),)], Sampling())
    end = time.monotonic() + 30
    while (model.ailing() or model.process_number == number) and time.monotonic() < end:
        time.sleep(0.05)
    assert model.answer([QUESTION], Sampling())[0].text == "I am mine"
    assert model.process_number != number
    assert any("ended with status 9" in event.what for event in told if isinstance(event, Warned))


def test_adapters_come_and_go_while_it_runs(opened: Open, project: Path) -> None:
    model = opened()
    (project / "adapter").mkdir()
    tuned = model.put_adapter("tuned", project / "adapter")
    assert tuned.answer([QUESTION], Sampling())[0].text == "I am tuned"
    assert model.answer([QUESTION], Sampling())[0].text == "I am mine"
    model.take_adapter("tuned")
    with pytest.raises(ServeError, match="no model tuned"):
        tuned.answer([QUESTION], Sampling())
    with pytest.raises(ServeError, match=r"load_lora_adapter was answered 404: .*no adapter at"):
        model.put_adapter("none", project / "nowhere")
    tuned.close()


def test_an_adapter_given_at_the_start_has_the_name(opened: Open, project: Path) -> None:
    adapter = project / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text('{"r": 32}')
    assert opened(adapter=adapter).answer([QUESTION], Sampling())[0].text == "I am mine"
    command = SERVERS["vllm"].command(Start(Path("vllm"), project, "mine", 1, "k", adapter=adapter))
    assert command[command.index("--max-lora-rank") + 1] == "32"


def test_one_that_does_not_start_says_its_last_words(opened: Open) -> None:
    with pytest.raises(ServeError, match=r"ended with status 1: ValueError: no config\.json in it") as caught:
        opened("unreadable")
    assert caught.value.where.startswith("http://127.0.0.1:")
    assert "luthier setup vllm" in caught.value.mend


def test_a_tool_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as caught:
        open_served("vllm", tmp_path, tmp_path, name="m")
    assert caught.value.where == str(sidecar.folder(tmp_path, "vllm"))
    assert "luthier setup vllm" in caught.value.mend


def test_what_llama_cpp_does_not_take_is_refused(tmp_path: Path) -> None:
    command = SERVERS["xllamacpp"].command
    with pytest.raises(ModelError, match=r"no \.gguf file") as caught:
        command(Start(Path("python"), tmp_path, "m", 1, "k"))
    assert "kind=gguf-q8_0" in caught.value.mend
    with pytest.raises(ModelError, match="adapters only as GGUF") as caught:
        command(Start(Path("python"), tmp_path, "m", 1, "k", adapter=tmp_path))
    assert "merge it first" in caught.value.mend
    (tmp_path / "a.gguf").write_bytes(b"")
    assert command(Start(Path("python"), tmp_path, "m", 7, "k"))[2:] == [str(tmp_path / "a.gguf"), "m", "7", "k"]


def test_a_wish_it_lacks_is_refused_here(opened: Open) -> None:
    assert "top_logprobs" in opened().takes
    assert "top_logprobs" not in SERVERS["xllamacpp"].takes
    with pytest.raises(DataError, match="not JSON"):
        opened().answer([QUESTION], Sampling(json_schema="{"))
