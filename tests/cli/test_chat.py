"""Talking in the terminal: answers on stdout, the talk around them on stderr."""

import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from luthier.artifact.example import Message
from luthier.cli.chat import chat, compare, read_line
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling
from luthier.errors import DataError
from luthier.event import Tell


@dataclass
class Echo:
    """Says what it was last told, word by word; raises what it is given to raise, once it has said a word."""

    name: str = "echo"
    heard: list[tuple[Message | int, ...]] = field(default_factory=list)
    trouble: dict[str, BaseException] = field(default_factory=dict)

    @property
    def takes(self) -> frozenset[str]:
        return ALWAYS_TAKEN

    @property
    def defaults(self) -> Mapping[str, Any]:
        return {}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        raise NotImplementedError

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        assert isinstance(prompt, tuple)
        self.heard.append(prompt)
        last = prompt[-1]
        assert isinstance(last, Message)
        for place, word in enumerate(last.content.split()):
            yield Piece(f"{' ' if place else ''}{self.name}:{word}")
            if last.content in self.trouble:
                raise self.trouble[last.content]
        yield Piece("", Answer("", (), (), "stop"))


def reader(*lines: str | BaseException) -> Callable[[str], str]:
    """Give a reader that gives these lines, then the end."""
    waiting = list(lines)

    def read(prompt: str) -> str:
        assert prompt == "> "
        line = waiting.pop(0) if waiting else EOFError()
        if isinstance(line, BaseException):
            raise line
        return line

    return read


@pytest.fixture
def talk() -> Console:
    return Console(file=io.StringIO(), width=100)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(autouse=True)
def _a_person_sits_here(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.StringIO("")
    monkeypatch.setattr(stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stdin", stdin)


def user(text: str) -> Message:
    return Message("user", text)


def assistant(text: str) -> Message:
    return Message("assistant", text)


def test_answers_go_to_stdout_and_the_talk_elsewhere(talk: Console) -> None:
    out = io.StringIO()
    chat(Echo(), None, system=None, console=talk, out=out, read=reader("你好 [bold]", "", "b"))
    assert out.getvalue() == "echo:你好 echo:[bold]\necho:b\n"
    assert "echo" in written(talk)
    assert "/reset" in written(talk)
    assert "你好" not in written(talk)


def test_the_model_hears_the_conversation_until_it_is_reset(talk: Console) -> None:
    model = Echo()
    read = reader("a", "b", "/reset", "c", "/exit", "never")
    chat(model, None, system="be brief", console=talk, out=io.StringIO(), read=read)
    system = Message("system", "be brief")
    assert model.heard == [
        (system, user("a")),
        (system, user("a"), assistant("echo:a"), user("b")),
        (system, user("c")),
    ]


def test_a_word_that_is_no_command_is_not_sent(talk: Console) -> None:
    model = Echo()
    chat(model, None, system=None, console=talk, out=io.StringIO(), read=reader("/rest"))
    assert model.heard == []
    assert "there is no /rest" in written(talk)


def test_ctrl_c_stops_the_answer_and_keeps_what_was_said(talk: Console) -> None:
    model = Echo(trouble={"a b": KeyboardInterrupt()})
    out = io.StringIO()
    chat(model, None, system=None, console=talk, out=out, read=reader("a b", "c"))
    assert out.getvalue() == "echo:a\necho:c\n"
    assert "stopped" in written(talk)
    assert model.heard[1] == (user("a b"), assistant("echo:a"), user("c"))


def test_ctrl_c_at_the_prompt_says_how_to_leave(talk: Console) -> None:
    model = Echo()
    chat(model, None, system=None, console=talk, out=io.StringIO(), read=reader(KeyboardInterrupt(), "a"))
    assert written(talk).count("/exit") == 2
    assert len(model.heard) == 1


def test_an_error_spoils_one_answer_and_the_question_is_forgotten(talk: Console) -> None:
    error = DataError("the prompt has 9 tokens", where="the prompt", mend="/reset and ask again")
    model = Echo(trouble={"a": error})
    chat(model, None, system=None, console=talk, out=io.StringIO(), read=reader("a", "b"))
    assert "the prompt has 9 tokens" in written(talk)
    assert "/reset and ask again" in written(talk)
    assert model.heard[1] == (user("b"),)


def test_one_question_is_answered_and_that_is_all(talk: Console, capsys: pytest.CaptureFixture[str]) -> None:
    chat(Echo(), "a b", system=None, console=talk, read=reader("never"))
    assert capsys.readouterr() == ("echo:a echo:b\n", "")
    assert written(talk) == ""


def test_ctrl_c_ends_a_single_answer_for_good(talk: Console) -> None:
    with pytest.raises(KeyboardInterrupt):
        chat(Echo(trouble={"a": KeyboardInterrupt()}), "a", system=None, console=talk, out=io.StringIO())


def test_text_that_is_piped_in_is_the_question(talk: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("a\nb\n"))
    model = Echo()
    out = io.StringIO()
    chat(model, None, system=None, console=talk, out=out, read=reader("never"))
    assert model.heard == [(user("a\nb"),)]
    assert out.getvalue() == "echo:a echo:b\n"


def test_models_are_compared_side_by_side_each_with_its_own_memory(talk: Console) -> None:
    models = [Echo("base"), Echo("tuned")]
    out = Console(file=io.StringIO(), width=80)
    compare(models, None, system=None, console=talk, out=out, read=reader("a", "b [i]"))
    lines = written(out).splitlines()
    assert any("base:a" in line and "tuned:a" in line for line in lines)
    assert any("base:b base:[i]" in line and "tuned:b tuned:[i]" in line for line in lines)
    assert models[0].heard[1] == (user("a"), assistant("base:a"), user("b [i]"))
    assert models[1].heard[1] == (user("a"), assistant("tuned:a"), user("b [i]"))


def test_one_question_is_compared_and_that_is_all(talk: Console) -> None:
    out = Console(file=io.StringIO(), width=80)
    compare([Echo("base"), Echo("tuned")], "你好", system="s", console=talk, out=out, read=reader("never"))
    assert "base:你好" in written(out)
    assert "tuned:你好" in written(out)


def test_an_answer_that_was_stopped_is_not_compared(talk: Console) -> None:
    models = [Echo("base"), Echo("tuned", trouble={"a": KeyboardInterrupt()})]
    out = Console(file=io.StringIO(), width=80)
    compare(models, None, system=None, console=talk, out=out, read=reader("a", "b"))
    assert "stopped" in written(talk)
    assert [heard[-1] for heard in models[0].heard] == [user("a"), user("b")]
    assert [len(heard) for heard in models[0].heard] == [1, 1]
    assert "base:a" not in written(out)


def test_the_prompt_of_a_line_stays_off_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    assert read_line("> ") == "hello"
    assert capsys.readouterr() == ("", "> ")


def test_another_model_hears_all_that_was_said_and_an_unknown_one_changes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first, second = Echo(), Echo("other")

    def other(name: str) -> Echo:
        if name != "other":
            raise DataError(f"there is no {name}", where="/model", mend="name another")
        return second

    console = Console(file=io.StringIO())
    read = reader("a", "/model nobody", "/model other", "b", "/model")
    chat(first, None, system=None, console=console, read=read, other=other)
    assert capsys.readouterr().out == "echo:a\nother:b\n"
    assert second.heard == [(Message("user", "a"), Message("assistant", "echo:a"), Message("user", "b"))]
    assert isinstance(console.file, io.StringIO)
    told = console.file.getvalue()
    assert "there is no nobody" in told
    assert "this is other; /model NAME asks another" in told


def test_a_talk_is_saved_as_a_row_that_prepare_reads(tmp_path: Path) -> None:
    file = tmp_path / "talk.jsonl"
    read = reader("/save", "a", f"/save {file}", "b", f"/save {file}", f"/save {tmp_path}")
    console = Console(file=io.StringIO(), width=200)
    chat(Echo(), None, system="be brief", console=console, read=read)
    first, second = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    assert first == {
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "echo:a"},
        ]
    }
    assert len(second["messages"]) == 5
    assert isinstance(console.file, io.StringIO)
    assert "Is a directory" in console.file.getvalue()
