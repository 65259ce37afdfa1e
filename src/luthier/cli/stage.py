"""A command for each stage, made from its spec: `luthier STAGE [WORD] [key=value ...]`."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from luthier.artifact.store import Artifact, Store
from luthier.cli.extra import EXTRAS, Extra
from luthier.cli.fields import field_lines
from luthier.cli.telling import telling
from luthier.errors import SpecError
from luthier.event import Chose, Tell
from luthier.recipe.call import call_stage
from luthier.recipe.stages import STAGES, Stage
from luthier.spec import make


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
            click.Option([f"--{role}", f"use_{role}"], metavar="ID", help=f"The {wanted.kind} (default: the newest).")
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
        _run(name, store, _assignments(stage, settings), file, use, extra, given)

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
    with telling(store, name) as tell:
        inputs = {
            role: _input(store, role, wanted.kind, use[role], tell) if use[role] or wanted.wanted(spec) else None
            for role, wanted in stage.takes.items()
        }
        made = call_stage(stage, spec, inputs, store, tell, **extra.arguments(given))
    if extra.afterwards:
        extra.afterwards(made, inputs, given)
    click.echo(made.id)


def _assignments(stage: Stage, settings: tuple[str, ...]) -> list[str]:
    """Read a bare word as the stage's first setting, several as a list of it."""
    assignments = [word for word in settings if "=" in word]
    bare = [word for word in settings if "=" not in word]
    if bare and not stage.first:
        raise SpecError(f"{bare[0]!r} is not key=value", where="command line", mend="write for instance seed=1")
    if bare:
        words = bare[0] if len(bare) == 1 else json.dumps(bare, ensure_ascii=False)
        assignments.insert(0, f"{stage.first}={words}")
    return assignments


def _input(store: Store, role: str, kind: str, name: str | None, tell: Tell) -> Artifact:
    if name:
        return store.find(name, kind)
    newest = store.newest(kind)
    if newest is None:
        raise SpecError(
            f"there is no {kind} in {store.root}",
            where=f"--{role}",
            mend=f"make one first, or give --{role} ID",
        )
    tell(Chose(role, newest.id, f"the newest {kind} here; --{role} ID takes another"))
    return newest
