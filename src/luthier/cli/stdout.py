"""Tables and trees as data on stdout: a pipe gets them whole, a terminal folded to its width; nothing is cut."""

from rich.console import Console
from rich.table import Table

ANY_WIDTH = 10_000
"""Columns of a pipe: more than a line of a table ever needs."""


def stdout() -> Console:
    """Give the console of stdout."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=ANY_WIDTH)


def table(*names: str) -> Table:
    """Give an empty table with these columns, in which an id too long for its column goes on in the next line."""
    made = Table(header_style="bold")
    for name in names:
        made.add_column(name, overflow="fold")
    return made
