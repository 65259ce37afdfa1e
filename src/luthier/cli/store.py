"""`luthier list | show | remove | setup`: the project folder as a person sees it."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click
from rich.markup import escape
from rich.tree import Tree

from luthier import sidecar
from luthier.artifact.card import Card, to_plain
from luthier.artifact.order import KINDS
from luthier.artifact.released import CHANNELS, Channel, current, kept
from luthier.artifact.store import Store
from luthier.cli.stdout import stdout, table
from luthier.errors import StoreError
from luthier.model.machine import gigabytes

MARKS: dict[Channel, str] = {"stable": "in service", "canary": "on trial"}


@click.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only artifacts of this kind.")
@click.pass_obj
def list_command(project: str, kind: str | None) -> None:
    """List what the project holds, oldest first."""
    store = Store(project)
    rows = table("id", "made by", "at (UTC)", "size", "from")
    served = {current(store, channel): channel for channel in reversed(CHANNELS)}
    for card in store.cards():
        if kind in (None, card.kind):
            mark = f" [green]({MARKS[served[card.id]]})[/]" if card.id in served else ""
            at = card.made_at[:19].replace("T", " ")
            rows.add_row(card.id + mark, card.stage, at, gigabytes(_size(card)), " ".join(card.inputs.values()))
    stdout().print(rows)


@click.command("show")
@click.argument("name", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="The card as JSON.")
@click.pass_obj
def show_command(project: str, name: str | None, as_json: bool) -> None:
    """Show what an artifact is, its figures, and what it was made from, all the way down (default: the release)."""
    store = Store(project)
    chosen = name or current(store)
    if chosen is None:
        raise StoreError("nothing is released yet", where=project, mend="luthier show ID (luthier list shows the ids)")
    card = store.find(chosen).card
    if as_json:
        click.echo(json.dumps(to_plain(card), indent=1, ensure_ascii=False))
        return
    stdout().print(_tree(store, card, set()))


@click.command("remove")
@click.argument("names", nargs=-1, required=True, metavar="ID...")
@click.pass_obj
def remove_command(project: str, names: tuple[str, ...]) -> None:
    """Remove artifacts, in the given order; refused for what others were made from, or what is released."""
    store = Store(project)
    released = kept(store)
    for name in names:
        removed = store.remove(name, released=released)
        click.echo(f"removed {removed.id}")


@click.command("setup")
@click.argument("tool", required=False)
@click.pass_obj
def setup_command(project: str, tool: str | None) -> None:
    """Install a tool into an environment of its own under the project folder (without TOOL: list them)."""
    store = Store(project)
    if tool is None:
        for name, row in sorted(sidecar.tools().items()):
            click.echo(f"{name}: {row.purpose} ({' '.join(row.pins)})")
        return
    click.echo(str(sidecar.setup(store.root, tool)))


def _size(card: Card) -> int:
    return sum(int(facts["bytes"]) for facts in card.files.values())


def _tree(store: Store, card: Card, seen: set[str]) -> Tree:
    """The card and, below it, what it was made from; what was shown before is named only."""
    tree = Tree(f"[bold]{card.id}[/] [dim]{card.stage} {card.made_at} {gigabytes(_size(card))} in {card.seconds} s[/]")
    if card.id in seen:
        tree.add("[dim]as above[/]")
        return tree
    seen.add(card.id)
    # figures copied from an input stand there
    figures = {name: value for name, value in card.figures.items() if name not in card.inputs}
    for title, values in (("spec", card.spec), ("choices", card.choices), ("figures", figures)):
        lines = list(_lines(values))
        if lines:
            tree.add(f"[cyan]{title}[/]\n" + escape("\n".join(lines)))
    versions = " ".join(f"{name} {version}" for name, version in card.versions.items())
    tree.add(f"[dim]{escape(versions)} · {escape(card.machine)} · commit {card.commit[:12] or '-'}[/]")
    for role, name in card.inputs.items():
        if name.startswith("sha256:"):
            tree.add(f"[green]{escape(role)}[/] [dim]{name}[/]")
            continue
        branch = tree.add(f"[green]{escape(role)}[/]")
        try:
            branch.add(_tree(store, store.find(name).card, seen))
        except StoreError:
            branch.add(f"[red]{name} is no longer here[/]")
    return tree


def _lines(values: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Nested plain data as lines: what holds only plain values stands on one, what is empty on none."""
    for key, value in values.items():
        name = f"{indent}{key or '(untagged)'}"
        if value in (None, "", [], {}):
            continue
        if isinstance(value, list) and len(_short(value)) > 80:
            yield f"{name}:"
            yield from (f"{indent}  - {_short(inner)}" for inner in value)
        elif isinstance(value, dict) and any(isinstance(inner, dict | list) for inner in value.values()):
            yield f"{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{name}: {_short(value)}"


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key or '(untagged)'} {_short(inner)}" for key, inner in value.items())
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, list):
        return ", ".join(_short(inner) for inner in value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 160 else f"{text[:157]}..."
