"""A command for each stage, made from its spec: `luthier STAGE [WORD] [key=value ...]`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from luthier.artifact.order import KINDS
from luthier.artifact.store import Artifact, Store
from luthier.cli.extra import EXTRAS, Extra
from luthier.cli.fields import field_lines
from luthier.cli.telling import telling
from luthier.errors import SpecError
from luthier.event import Chose, Tell, hush
from luthier.recipe.call import call_stage
from luthier.recipe.check import ROOM, Planned, check_room
from luthier.recipe.knowledge import KNOWLEDGE, index_of
from luthier.recipe.load import Step
from luthier.recipe.stages import STAGES, Input, Stage
from luthier.spec import Spec, make


class StageCommand(click.Command):
    """A stage's command; its help ends with the spec's fields."""

    stage: Stage

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each setting with its default and its meaning."""
        with formatter.section("Settings (key=value)"):
            formatter.write_dl(field_lines(self.stage.spec_class()))


def stage_command(name: str) -> click.Command:
    """Make the command of a stage."""
    stage = STAGES[name]
    extra = EXTRAS.get(name, Extra())
    first = f"[{stage.first.upper()}] " if stage.first else ""
    parameters: list[click.Parameter] = [
        click.Argument(["settings"], nargs=-1, metavar=f"{first}[KEY=VALUE]..."),
        click.Option(["--spec", "file"], type=click.Path(path_type=Path), help="A YAML file with the settings."),
        *(
            click.Option([f"--{role}", f"use_{role}"], metavar="ID", help=f"The {wanted.kinds()}; default: the newest.")
            for role, wanted in stage.takes.items()
        ),
        *extra.options,
    ]

    @click.pass_obj
    def callback(project: str, /, settings: tuple[str, ...], file: Path | None, **given: Any) -> None:
        store = Store(project)
        use = {role: given.pop(f"use_{role}") for role in stage.takes}
        if extra.instead and extra.instead(store, given, bool(settings or file or any(use.values()))):
            return
        _run(name, store, [*_assignments(stage, settings), *extra.settings(given)], file, use, extra, given)

    command = StageCommand(name, callback=callback, params=parameters, help=stage.about)
    command.stage = stage
    return command


def _run(
    name: str,
    store: Store,
    assignments: list[str],
    file: Path | None,
    use: Mapping[str, str | None],
    extra: Extra,
    given: Mapping[str, Any],
) -> None:
    stage = STAGES[name]
    spec = make(stage.spec_class(), assignments, file)
    more = extra.arguments(given)
    with telling(store, name) as tell:
        spec = extra.settle(spec, store, tell)
        needed = {role: row for role, row in stage.takes.items() if use[role] or row.wanted(spec)}
        found = _inputs(store, needed, use, tell)
        inputs = {role: found.get(role) for role in stage.takes}
        _check_room(name, spec, inputs, store, more)
        report = extra.rather(spec, inputs, store, tell, given) if extra.rather else None
        made = None if report else call_stage(stage, spec, inputs, store, tell, **more)
    if made is None:
        sys.exit(report() if report else 0)
    if extra.afterwards:
        extra.afterwards(made, inputs, given)
    click.echo(made.id)


def _assignments(stage: Stage, settings: tuple[str, ...]) -> list[str]:
    """Read a bare word as the stage's first setting, several as a list of it."""
    assignments = [word for word in settings if _is_assignment(word)]
    bare = [word for word in settings if not _is_assignment(word)]
    if bare and not stage.first:
        raise SpecError(f"{bare[0]!r} is not key=value", where="command line", mend="write for instance seed=1")
    if bare:
        words = bare[0] if len(bare) == 1 else json.dumps(bare, ensure_ascii=False)
        assignments.insert(0, f"{stage.first}={words}")
    return assignments


def _is_assignment(word: str) -> bool:
    """Whether it is key=value; an address, a path or the name of a data set may have an equals sign further on."""
    key, equals, _ = word.partition("=")
    first = key.partition(".")[0]  # behind a point any column may be named: `where.a/b=1`
    return bool(equals) and bool(first) and not any(mark in first for mark in ":/?~")


def _inputs(
    store: Store, needed: Mapping[str, Input], use: Mapping[str, str | None], tell: Tell
) -> dict[str, Artifact]:
    """Find each role's artifact: the one given, else the one the others were made from, else the newest."""
    found = {role: _given(store, wanted, name) for role, wanted in needed.items() if (name := use[role])}
    # what is made last names what it was made from
    for role in sorted(needed.keys() - found.keys(), key=lambda role: -KINDS.index(needed[role].kind)):
        found[role] = _choose(store, role, needed[role], list(found.values()), tell)
    return found


def _given(store: Store, wanted: Input, name: str) -> Artifact:
    found = index_of(store, name) if name.startswith(KNOWLEDGE) else store.find(name)
    return found if wanted.fits(found.kind) else store.find(found.id, wanted.kind)


def _choose(store: Store, role: str, wanted: Input, others: list[Artifact], tell: Tell) -> Artifact:
    kind = wanted.kind
    for other in others:
        inputs = other.order.inputs
        # an input of the same role may be whatever fits it, one of another role must be of the kind that is meant
        same = [name for name in (inputs.get(role, ""),) if wanted.fits(name.partition("-")[0])]
        for name in (*same, *inputs.values()):
            if name in same or name.startswith(f"{kind}-"):
                tell(Chose(role, name, f"{other.id} was made from it; --{role} ID takes another"))
                return store.find(name)
    newest = store.newest(kind)
    if newest is None:
        raise SpecError(
            f"nothing of the kind {kind!r} is in {store.root}",
            where=f"--{role}",
            mend=f"make one first, or give --{role} ID",
        )
    tell(Chose(role, newest.id, f"the newest {kind} here; --{role} ID takes another"))
    return newest


def _check_room(
    name: str, spec: Spec, inputs: dict[str, Artifact | None], store: Store, more: Mapping[str, Any]
) -> None:
    """Raise RoomError before the long run, not after, where memory or disk will not do."""
    if name not in ROOM:
        return
    planned = call_stage(STAGES[name], spec, inputs, Store(store.root, dry=True), hush, **more)
    check_room(Planned(Step(name, name, spec, {}, "command line"), planned, inputs), store)
