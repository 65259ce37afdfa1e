"""`luthier run` and `luthier plan`."""

from pathlib import Path

import click

from luthier.artifact.store import Store
from luthier.cli.stdout import stdout, table
from luthier.cli.telling import telling
from luthier.recipe.check import check
from luthier.recipe.load import load_recipe
from luthier.recipe.run import run

RECIPE = click.Argument(["path"], type=click.Path(path_type=Path), metavar="RECIPE")
SETTINGS = click.Argument(["settings"], nargs=-1, metavar="[STEP.KEY=VALUE]...")


@click.pass_obj
def _run(project: str, path: Path, settings: tuple[str, ...]) -> None:
    """Run a recipe: check everything first, skip what is made, print where each artifact lies."""
    store = Store(project)
    with telling(store, "run") as tell:
        made = run(load_recipe(path, settings), store, tell)
    width = max(len(name) for name in made)
    for name, artifact in made.items():
        click.echo(f"{name:<{width}}  {artifact.folder}")


@click.pass_obj
def _plan(project: str, path: Path, settings: tuple[str, ...]) -> None:
    """Check a recipe and show, without making anything, which artifact each step has or will have."""
    store = Store(project)
    rows = table("step", "stage", "artifact", "from", "state")
    for planned in check(load_recipe(path, settings), store):
        sources = ", ".join(artifact.id for artifact in planned.inputs.values() if artifact)
        state = "made" if planned.artifact.exists else "to make"
        rows.add_row(planned.step.name, planned.step.stage_name, planned.artifact.id, sources, state)
    stdout().print(rows)


run_command = click.Command("run", callback=_run, params=[RECIPE, SETTINGS], help=_run.__doc__)
plan_command = click.Command("plan", callback=_plan, params=[RECIPE, SETTINGS], help=_plan.__doc__)
