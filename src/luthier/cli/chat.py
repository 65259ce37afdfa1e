"""Talking to models in the terminal: answers go to stdout, everything else to stderr."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from luthier.artifact.atomic import append_line
from luthier.artifact.example import Message, plain
from luthier.cli.sources import source_lines
from luthier.engine.ports import ChatModel, Sampling
from luthier.errors import LuthierError

Read = Callable[[str], str]
"""Asks a person for a line, given the prompt; raises EOFError at the end."""

HELP = (
    "/reset forgets what was said, /model NAME asks another, /save FILE keeps the talk, /exit (or Ctrl-D) ends, "
    "Ctrl-C stops an answer"
)

Open = Callable[[str], ChatModel]
"""Opens a model by its name, for /model."""


def read_line(prompt: str) -> str:
    """Read a line from the terminal, with the prompt on stderr and the keys of readline where it is there."""
    with suppress(ImportError):
        import readline  # noqa: F401  importing it is what gives `input` its arrow keys
    sys.stderr.write(prompt)
    sys.stderr.flush()
    return input()


def chat(
    model: ChatModel,
    question: str | None,
    *,
    system: str | None,
    console: Console,
    out: TextIO | None = None,
    read: Read = read_line,
    sampling: Sampling | None = None,
    other: Open | None = None,
    remembered: Path | None = None,
) -> None:
    """Answer one question, or text that is piped in, and end; without either, talk until /exit or the end of input.

    `other` opens what /model names. What was typed is remembered in the file `remembered`, for the arrow keys of the
    next time.

    `console` is for the talk around it (stderr), `out` for answers (stdout). The model hears the whole conversation
    each time. An answer that was stopped stays as far as it was said; a question that failed is forgotten.
    """
    out = out or sys.stdout
    sampling = sampling or Sampling()
    turns = _opening(system)
    single = question or _piped()
    if single:
        _say(model, [*turns, Message("user", single)], sampling, out, console=None)
        return

    talk = _Talk(model, turns, system, other, console)

    def reply(asked: str) -> None:
        said = _say(talk.model, [*turns, Message("user", asked)], sampling, out, console)
        if said:
            turns.extend((Message("user", asked), Message("assistant", said)))

    console.print(f"[bold]{escape(model.name)}[/]  [dim]{HELP}[/]")
    with _history(remembered):
        _converse(read, console, reply, {"/reset": talk.reset, "/model": talk.ask_another, "/save": talk.save})


class _Talk:
    """What the words of a conversation change."""

    def __init__(
        self, model: ChatModel, turns: list[Message], system: str | None, other: Open | None, console: Console
    ) -> None:
        self.model = model
        self._turns = turns
        self._system = system
        self._other = other
        self._console = console

    def reset(self, rest: str) -> None:
        self._turns[:] = _opening(self._system)
        self._console.print("[dim]forgotten[/]")

    def ask_another(self, name: str) -> None:
        if not name or self._other is None:
            self._console.print(f"[dim]this is {escape(self.model.name)}; /model NAME asks another[/]")
            return
        self.model = self._other(name)
        self._console.print(f"[dim]from now on {escape(self.model.name)}, which hears all that was said[/]")

    def save(self, name: str) -> None:
        """Write the talk as a row that `luthier prepare` reads."""
        if not name or not self._turns:
            self._console.print("[dim]give a file: /save talk.jsonl (after something was said)[/]")
            return
        append_line(Path(name).expanduser(), json.dumps({"messages": plain(self._turns)}, ensure_ascii=False))
        self._console.print(f"[dim]{len(self._turns)} messages added to {escape(name)}[/]")


@contextmanager
def _history(path: Path | None) -> Iterator[None]:
    """Remember what is typed, where readline is there and the file can be written."""
    try:
        import readline
    except ImportError:
        path = None
    if path is None:
        yield
        return
    with suppress(OSError):
        readline.read_history_file(path)
    try:
        yield
    finally:
        readline.set_history_length(1000)
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)


def compare(
    models: Sequence[ChatModel],
    question: str | None,
    *,
    system: str | None,
    console: Console,
    out: Console | None = None,
    read: Read = read_line,
    sampling: Sampling | None = None,
) -> None:
    """Ask several models the same and print their answers side by side; each remembers its own conversation.

    One question, or text that is piped in, is answered and that is all.
    """
    table = out or Console()
    sampling = sampling or Sampling()
    histories = [_opening(system) for _ in models]

    def reply(asked: str) -> None:
        _side_by_side(models, histories, asked, sampling, console, table)

    def reset(rest: str) -> None:
        histories[:] = [_opening(system) for _ in models]
        console.print("[dim]forgotten[/]")

    single = question or _piped()
    if single:
        reply(single)
        return
    console.print(f"[bold]{escape(' | '.join(model.name for model in models))}[/]  [dim]{HELP}[/]")
    _converse(read, console, reply, {"/reset": reset})


def _piped() -> str | None:
    """What is piped into this program; None where a person sits at the terminal."""
    return None if sys.stdin.isatty() else sys.stdin.read().strip()


Words = Mapping[str, Callable[[str], None]]
"""What begins with a slash -> what it does with the rest of the line."""


def _converse(read: Read, console: Console, reply: Callable[[str], None], words: Words) -> None:
    """Read questions until the end; an error spoils one answer, never the conversation."""
    while True:
        try:
            question = read("> ").strip()
        except EOFError:
            console.print()
            return
        except KeyboardInterrupt:
            console.print(f"\n[dim]{HELP}[/]")
            continue
        if question == "/exit":
            return
        if question:
            _heed(question, console, reply, words)


def _heed(question: str, console: Console, reply: Callable[[str], None], words: Words) -> None:
    word, _, rest = question.partition(" ")
    try:
        if word in words:
            words[word](rest.strip())
        elif word.startswith("/"):
            console.print(f"[dim]there is no {escape(word)}: {HELP}[/]")
        else:
            reply(question)
    except (LuthierError, OSError) as error:
        console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
    except KeyboardInterrupt:
        console.print("[dim]stopped[/]")


def _say(model: ChatModel, turns: Sequence[Message], sampling: Sampling, out: TextIO, console: Console | None) -> str:
    """Write an answer while it is being said. With a console, Ctrl-C ends it there; without, it ends the program."""
    said, sources = "", list[str]()
    try:
        for piece in model.stream(tuple(turns), sampling, lambda: False):
            said += piece.text
            out.write(piece.text)
            out.flush()
            if piece.answer is not None:
                sources = source_lines(piece.answer.details)
    except KeyboardInterrupt:
        if console is None:
            raise
        console.print("\n[dim]stopped[/]", end="")
    finally:
        out.write("\n")
        out.flush()
    for line in sources:
        click.echo(line, err=True)
    return said


def _side_by_side(
    models: Sequence[ChatModel],
    histories: Sequence[list[Message]],
    question: str,
    sampling: Sampling,
    console: Console,
    out: Console,
) -> None:
    answers = []
    for model, turns in zip(models, histories, strict=True):
        with console.status(f"asking {escape(model.name)}"):
            pieces = model.stream((*turns, Message("user", question)), sampling, lambda: False)
            answers.append("".join(piece.text for piece in pieces))
    table = Table(expand=True, show_lines=True)
    for model in models:
        table.add_column(Text(model.name), ratio=1, overflow="fold")
    table.add_row(*map(Text, answers))
    out.print(table)
    for turns, answer in zip(histories, answers, strict=True):
        turns.extend((Message("user", question), Message("assistant", answer)))


def _opening(system: str | None) -> list[Message]:
    return [Message("system", system)] if system else []
