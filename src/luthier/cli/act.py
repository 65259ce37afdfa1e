"""What `luthier act` does at the terminal: it asks for leave, and shows the answer."""

import json
import sys
from collections.abc import Mapping
from typing import Any

import click

from luthier.artifact.store import Artifact


def ask_leave(tool: Any, arguments: Mapping[str, Any]) -> bool:
    """Ask whoever sits at the terminal; where nobody does, the call is not made."""
    if not sys.stdin.isatty():
        return False
    return click.confirm(f"call {tool.name} {json.dumps(dict(arguments), ensure_ascii=False)}?", err=True)


def show_answer(made: Artifact, inputs: Mapping[str, Artifact | None], given: Mapping[str, Any]) -> None:
    """Write a task's answer; the transcript's id follows."""
    if made.kind == "transcript":
        click.echo((made.folder / "answer.txt").read_text(encoding="utf-8"), nl=False)
