"""`luthier run`."""

from pathlib import Path

import click

from luthier.artifact.store import Store
from luthier.cli.telling import telling
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


run_command = click.Command("run", callback=_run, params=[RECIPE, SETTINGS], help=_run.__doc__)
