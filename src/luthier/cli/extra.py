"""What some stages' commands can do beside running the stage: a row each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from luthier.artifact.store import Artifact, Store
from luthier.cli.telling import telling
from luthier.errors import SpecError


@dataclass(frozen=True)
class Extra:
    """Options of one stage's command, and what they do."""

    options: tuple[click.Option, ...] = ()
    instead: Callable[[Store, Mapping[str, Any], bool], bool] | None = None
    """Called first with the options and whether settings were given; true means that all is done."""
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda given: {}
    """More arguments for the stage's function."""
    afterwards: Callable[[Artifact, Mapping[str, Artifact | None], Mapping[str, Any]], None] | None = None


def _look_instead(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """`luthier prepare --look 3` alone shows what was prepared last."""
    if not given["look"] or has_settings:
        return False
    newest = store.newest("examples")
    if newest is None:
        raise SpecError("nothing is prepared yet", where=str(store.root), mend="luthier prepare FILE --look 3")
    _look(newest, store.find(newest.order.inputs["model"], "model"), given)
    return True


def _look_afterwards(made: Artifact, inputs: Mapping[str, Artifact | None], given: Mapping[str, Any]) -> None:
    model = inputs["model"]
    if given["look"] and model:
        _look(made, model, given)


def _look(made: Artifact, model: Artifact, given: Mapping[str, Any]) -> None:
    from rich.console import Console

    from luthier.prepare.look import look

    look(made, model, given["split"], given["look"], Console(highlight=False))


def _start(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["resume"] and given["fresh"]:
        raise SpecError("--resume and --fresh exclude each other", where="command line", mend="leave one out")
    return {"start": "checkpoint" if given["resume"] else "fresh" if given["fresh"] else "newest"}


def _switch(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """`luthier release --rollback` and `--promote ID` change what is served, and make nothing."""
    from luthier.release.log import promote, rollback

    if not (given["rollback"] or given["promote"]):
        return False
    if has_settings or (given["rollback"] and given["promote"]):
        raise SpecError(
            "--rollback, --promote and settings exclude each other", where="command line", mend="give one of them"
        )
    with telling(store, "release") as tell:
        name = rollback(store, tell) if given["rollback"] else promote(store, given["promote"], tell)
    if name:
        click.echo(name)
    return True


EXTRAS: dict[str, Extra] = {
    "prepare": Extra(
        options=(
            click.Option(
                ["--look"], type=int, default=0, metavar="N", help="Show N examples, learned tokens coloured."
            ),
            click.Option(["--split"], default="train", help="Of which split (default: train)."),
        ),
        instead=_look_instead,
        afterwards=_look_afterwards,
    ),
    "tune": Extra(
        options=(
            click.Option(["--resume"], is_flag=True, help="Insist on going on from a checkpoint."),
            click.Option(["--fresh"], is_flag=True, help="Begin anew even if there is a checkpoint."),
        ),
        arguments=_start,
    ),
    "release": Extra(
        options=(
            click.Option(["--rollback"], is_flag=True, help="Go back to the release before this one."),
            click.Option(["--promote"], metavar="ID", help="Serve this release."),
        ),
        instead=_switch,
    ),
}
