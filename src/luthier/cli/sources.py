"""Answers with their sources, as a person reads them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from luthier.artifact.store import Artifact

QUOTED_CHARACTERS = 160


def source_lines(details: Mapping[str, Any]) -> list[str]:
    """Give a line for each cited source: number, document, page, headings, characters, and how the quote begins."""
    return [_line(source) for source in details.get("sources", ())]


def show_answers(made: Artifact) -> None:
    """Print the answers of an artifact, each with its sources; a single question is not repeated."""
    rows = [json.loads(line) for line in _lines(made.folder / "answers.jsonl")]
    for row in rows:
        if len(rows) > 1:
            click.echo(f"> {row['question']}")
        click.echo("\n".join([row["answer"], *source_lines(row), *([""] if len(rows) > 1 else [])]))


def _line(source: Mapping[str, Any]) -> str:
    page = [f"p. {source['page']}"] if source["page"] is not None else []
    heading = [" > ".join(source["heading"])] if source["heading"] else []
    spans = ", ".join(f"{quote['span'][0]}-{quote['span'][1]}" for quote in source["quotes"])
    text = " ".join(source["quotes"][0]["text"].split())
    short = text if len(text) <= QUOTED_CHARACTERS else f"{text[:QUOTED_CHARACTERS]}..."
    return f"  [{source['number']}] {', '.join([source['document'], *page, *heading])}, characters {spans}: {short}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []
