"""Events as a person reads them: one line each, a live bar for steps, a table for figures. On stderr."""

from collections.abc import Callable, Sequence
from math import isnan
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from luthier import event
from luthier.event import Event

MANY_TAGS = 4
"""More tags than these share one table."""


class Terminal:
    """Renders events; to be used as a context and called with each event."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._figures: list[event.Compared | event.Estimated] = []
        self._shown: dict[str, int] = {}
        self._is_making = False
        """Between an artifact's name and its last line: what is said there stands below the name."""

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_bar()
        self._table()

    def __call__(self, told: Event) -> None:
        """Show one event."""
        if not isinstance(told, event.Step | event.Progress):
            self._end_bar()
        if not isinstance(told, event.Compared | event.Estimated):
            self._table()
        if isinstance(told, event.Started | event.Made):
            self._is_making = isinstance(told, event.Started)
        show = SHOW.get(type(told))
        if show:
            show(self, told)

    def line(self, text: str) -> None:
        """Write one line of markup."""
        self.console.print(text, soft_wrap=True)

    def said(self, told: event.Said) -> None:
        """Write what is said."""
        self.line(("  " if self._is_making else "") + escape(told.text))

    def step(self, told: event.Step) -> None:
        """Show a step: in the live bar, or where there is no terminal as a line now and then."""
        figures = f"loss {told.loss:.4f}  grad {told.grad_norm:.3f}  lr {told.rate:.2e}  epoch {told.epoch:.2f}"
        speed = f"{told.tokens_per_second:,.0f} tokens/s"
        looked = {
            "dev loss": told.dev_loss,
            **told.figures,
            **{f"loss of {tag}": loss for tag, loss in told.tasks.items()},
        }
        shown = "  ".join(f"{escape(name)} {value:.4f}" for name, value in looked.items() if value is not None)
        dev = f"  [cyan]{shown}[/]" if told.dev_loss is not None else ""
        if dev or (not self.console.is_terminal and self._due("step", told.step, told.steps)):
            left = f"{told.seconds_left:.0f} s left"
            self.line(f"  step {told.step}/{told.steps}  {figures}{dev}  {speed}  {left}")
        self._advance("step", told.step, told.steps, f"{told.step:,}/{told.steps:,}  {figures}  {speed}")

    def progress(self, told: event.Progress) -> None:
        """Show how far a countable piece of work has come."""
        unit = "" if told.unit == told.what else f" {told.unit}"
        text = f"{told.done:,}/{told.total:,}{unit}"
        if told.per_second is not None:
            is_bytes = told.unit == "bytes"
            text += f"  {told.per_second / 1e6:.1f} MB/s" if is_bytes else f"  {told.per_second:,.0f} {told.unit}/s"
        if told.seconds_left is not None:
            text += f"  {told.seconds_left:,.0f} s left"
        if not self.console.is_terminal and self._due(told.what, told.done, told.total):
            self.line(f"  {escape(told.what)} {escape(text)}")
        self._advance(told.what, told.done, told.total, text, estimates=told.unit != "bytes")

    def figures(self, told: event.Compared | event.Estimated) -> None:
        """Keep a row of the tables, which are shown when the last is there."""
        self._figures.append(told)

    def _due(self, what: str, done: int, total: int) -> bool:
        tenth = done * 10 // max(1, total)
        before = self._shown.get(what, -1)
        self._shown[what] = tenth
        return tenth != before

    def _advance(self, what: str, done: int, total: int, text: str, estimates: bool = True) -> None:
        """Move the bar; `estimates`: whether the time left is the bar's own guess, and not in the text."""
        if not self.console.is_terminal:
            return
        if self._bar is None or self._task is None or self._bar.tasks[0].description != what:
            self._end_bar()
            columns = (
                TextColumn("  [progress.description]{task.description}"),
                BarColumn(bar_width=12),  # a download's figures take 55 of a terminal's 80 columns
                TextColumn("{task.fields[text]}"),
                *((TimeRemainingColumn(compact=True),) if estimates else ()),
            )
            self._bar = Progress(*columns, console=self.console, transient=True)
            self._task = self._bar.add_task(what, total=total, text=text)
            self._bar.start()
        self._bar.update(self._task, completed=done, text=text)

    def _end_bar(self) -> None:
        if self._bar:
            self._bar.stop()
        self._bar = self._task = None

    def _table(self) -> None:
        rows, self._figures = self._figures, []
        tags = list(dict.fromkeys(row.tag for row in rows))
        if len(tags) > MANY_TAGS:
            self.console.print(_one_table(rows))
            return
        for tag in tags:
            self.console.print(_table_of([row for row in rows if row.tag == tag]))


def _table_of(rows: Sequence[event.Compared | event.Estimated]) -> Table:
    title = f"{escape(rows[0].tag)}: {rows[0].rows} rows"
    table = Table(*_columns(rows[0]), title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(row.metric, *_sides(row), _interval(row))
    return table


def _one_table(rows: Sequence[event.Compared | event.Estimated]) -> Table:
    """The figures of many tags, as one table: with one for each the first of them would be out of sight."""
    head = Column("tag", overflow="fold"), Column("rows", justify="right", no_wrap=True)
    table = Table(*head, *_columns(rows[0]), header_style="bold")
    for row in rows:
        table.add_row(escape(row.tag), f"{row.rows}", row.metric, *_sides(row), _interval(row))
    return table


def _columns(row: event.Compared | event.Estimated) -> list[Column]:
    sides = ("before", "after", "gain") if isinstance(row, event.Compared) else ("value",)
    numbers = [Column(name, justify="right", no_wrap=True) for name in (*sides, "interval")]
    return [Column("metric", no_wrap=True), *numbers]


def _interval(row: event.Compared | event.Estimated) -> str:
    return "unknown" if isnan(row.low) or isnan(row.high) else f"{row.low:+.4f} .. {row.high:+.4f}"


def _sides(row: event.Compared | event.Estimated) -> tuple[str, ...]:
    if isinstance(row, event.Estimated):
        return (f"{row.value:.4f}",)
    colour = "green" if row.low > 0 else "red" if row.high < 0 else "yellow"
    return f"{row.before:.4f}", f"{row.after:.4f}", f"[{colour}]{row.gain:+.4f}[/]"


def _counts(told: event.Counted) -> str:
    return ", ".join(f"{escape(name)} {count:,}" for name, count in told.counts.items())


def _first_line(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:99]}…"


SHOW: dict[type[Any], Callable[[Terminal, Any], None]] = {
    event.Started: lambda t, e: t.line(f"[bold]{e.stage}[/] {e.id}"),
    event.Skipped: lambda t, e: t.line(f"[bold]{e.stage}[/] {e.id} [dim]is there already[/]"),
    event.Made: lambda t, e: t.line(f"  [green]made[/] {escape(e.folder)} [dim]in {e.seconds:.1f} s[/]"),
    event.Chose: lambda t, e: t.line(f"  [dim]{escape(e.what)}: [/]{escape(e.value)} [dim]({escape(e.why)})[/]"),
    event.Counted: lambda t, e: t.line(f"  [dim]{escape(e.what)}:[/] {_counts(e)}"),
    event.Judged: lambda t, e: t.line(
        f"  {'[green]passed[/]' if e.passed else '[red]refused[/]'} {escape(e.rule)} [dim]{escape(e.value)}[/]"
    ),
    event.Called: lambda t, e: t.line(
        f"  [{'green' if e.outcome == 'done' else 'red'}]{escape(e.tool)}[/] {escape(e.arguments)} "
        f"[dim]{e.outcome} in {e.seconds:.1f} s:[/] {escape(_first_line(e.output))}"
    ),
    event.Warned: lambda t, e: t.line(f"  [yellow]warning:[/] {escape(e.what)} [dim]({escape(e.mend)})[/]"),
    event.Said: Terminal.said,
    event.Step: Terminal.step,
    event.Progress: Terminal.progress,
    event.Compared: Terminal.figures,
    event.Estimated: Terminal.figures,
}
"""How each event is shown; what has no row here (an error that ends the run) is shown by the command itself."""
