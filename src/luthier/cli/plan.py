"""`luthier plan`: of a recipe, which artifacts it would make; of a model, what tuning it will take."""

import json
from pathlib import Path
from typing import Any

import click

from luthier.artifact.store import Artifact, Store
from luthier.cli.stdout import stdout, table
from luthier.errors import SpecError
from luthier.model.machine import choose_dtype, gigabytes
from luthier.recipe.check import Planned, check
from luthier.recipe.load import load_recipe
from luthier.spec import make
from luthier.tune.incompatible import check as check_settings
from luthier.tune.plan import Plan
from luthier.tune.plan_fit import Asked, Option, as_settings, best_that_fits, options, sentence
from luthier.tune.plan_place import Place, choose_place
from luthier.tune.spec import TuneSpec

RECIPES = (".yaml", ".yml")


def plan(
    project: str,
    /,
    target: str,
    settings: tuple[str, ...],
    data: str | None,
    gpu: str | None,
    memory: str | None,
    devices: int,
    as_json: bool,
) -> None:
    """Say, without making anything, what a recipe or the tuning of a model will take.

    TARGET is a recipe (*.yaml, with STEP.KEY=VALUE), or a model: an artifact's id, or a folder with a config.json (with
    the settings of tune, KEY=VALUE). No weight is loaded.
    """
    store = Store(project)
    place = choose_place(gpu, memory, devices)
    if target.endswith(RECIPES):
        if data or as_json:
            raise SpecError(
                "--data and --json go with a model, not with a recipe",
                where="command line",
                mend="leave them out, or plan one tune: luthier plan MODEL",
            )
        _plan_recipe(store, Path(target), settings, place)
        return
    asked = _asked(store, target, settings, data, place)
    found = asked.plan()
    others = options(asked, found)
    proposal = _proposal(asked, found)
    if as_json:
        click.echo(json.dumps(plain(found, others, proposal), ensure_ascii=False))
        return
    show(found)
    _show_options(others)
    if proposal:
        click.echo("\n" + proposal["sentence"])
        if proposal["settings"]:
            click.echo("  " + " ".join(proposal["settings"]))


def _plan_recipe(store: Store, path: Path, settings: tuple[str, ...], place: Place) -> None:
    rows = table("step", "stage", "artifact", "from", "state")
    found = check(load_recipe(path, settings), store)
    for planned in found:
        sources = ", ".join(artifact.id for artifact in planned.inputs.values() if artifact)
        state = "made" if planned.artifact.exists else "to make"
        rows.add_row(planned.step.name, planned.step.stage_name, planned.artifact.id, sources, state)
    stdout().print(rows)
    for planned in found:
        if planned.step.stage_name == "tune" and not planned.artifact.exists:
            _plan_step(store, planned, place)


def _plan_step(store: Store, planned: Planned, place: Place) -> None:
    """Show what a tune step will take, where its model is here."""
    model, data = planned.inputs["model"], planned.inputs["data"]
    if model is None or not model.exists:
        return
    spec: Any = planned.step.spec
    known = data if data is not None and data.exists else None
    click.echo(f"\n{planned.step.name}:")
    show(Asked(spec, model.folder, place, known, _dtype(spec, place), store.root).plan())


def _asked(store: Store, target: str, settings: tuple[str, ...], data: str | None, place: Place) -> Asked:
    spec = make(TuneSpec, settings)
    check_settings(spec, place.device)
    is_folder = (Path(target) / "config.json").exists()
    folder = Path(target) if is_folder else store.find(target, "model").folder
    rows = store.find(data, "examples") if data else None if is_folder else _made_for(store, target)
    return Asked(spec, folder, place, rows, _dtype(spec, place), store.root)


def _made_for(store: Store, target: str) -> Artifact | None:
    """The newest examples, if they were prepared for this model."""
    newest = store.newest("examples")
    if newest is None or newest.order.inputs.get("model") != store.find(target, "model").id:
        return None
    click.echo(f"data: {newest.id}, the newest made for this model; --data ID takes another", err=True)
    return newest


def _dtype(spec: TuneSpec, place: Place) -> str:
    if spec.dtype != "auto":
        return spec.dtype
    return choose_dtype("cpu").value if place.device == "cpu" else "bfloat16"


def _proposal(asked: Asked, found: Plan) -> dict[str, Any] | None:
    room, usable = asked.place.room_bytes, asked.place.usable_bytes
    if room is None or usable is None:
        return None
    best = best_that_fits(asked, usable, found)
    said = sentence(asked, best, room)
    if best is None:
        return {"sentence": said, "settings": [], "fits": False}
    return {"sentence": said, "settings": list(as_settings(best[0])), "peak_bytes": best[1].peak_bytes, "fits": True}


def show(found: Plan) -> None:
    """Print what one run will take."""
    rows = table("memory", "bytes")
    for name, size in found.memory.terms.items():
        if size:
            rows.add_row(name, gigabytes(size))
    if found.memory.loading_bytes == found.unscaled_bytes:
        rows.add_row("highest while weights are read", gigabytes(found.memory.loading_bytes))
    room = found.place.room_bytes
    each = " on each" if found.place.devices > 1 else ""
    fits = "" if room is None else f", {'fits in' if found.fits else 'MORE THAN'} {gigabytes(room)}"
    rows.add_row("peak", f"{gigabytes(found.peak_bytes)}{each}{fits}")
    stdout().print(rows)
    share = found.trained / max(1, found.parameters)
    click.echo(f"trained parameters: {found.trained:,} of {found.parameters:,} ({share:.2%}), {found.dtype}")
    steps = "" if found.steps is None else f", {found.steps:,} steps: {_time((found.hours or 0) * 3600)}"
    click.echo(f"time: {_time(found.step_seconds)} a step{steps}")
    disk = ", ".join(f"{name} {gigabytes(size)}" for name, size in found.disk.items())
    click.echo(f"disk: {disk}")
    _show_rows(found)
    if found.place.devices > 1:
        click.echo(f"{found.place.devices} devices: {found.spread.kind}; {found.spread.why}")
    for chose in found.chose:
        click.echo(f"{chose.what}: {chose.value} ({chose.why})")


def _show_rows(found: Plan) -> None:
    if found.load.rows is None:
        click.echo("rows: 512 tokens each assumed; --data ID counts real ones")
        return
    notes = found.load.notes
    dropped = sum(notes.get("dropped", {}).values())
    tokens = found.load.tokens_per_step
    click.echo(
        f"rows: {found.load.rows:,}, {tokens:,.0f} tokens a step; "
        f"{dropped:,} dropped and {notes.get('truncated', 0):,} truncated when they were prepared"
    )


def _show_options(found: list[Option]) -> None:
    rows = table("change", "settings", "memory", "step", "peak", "fits")
    for one in found:
        rows.add_row(
            one.about,
            " ".join(one.settings),
            f"{'+' if one.bytes_more >= 0 else '-'}{gigabytes(abs(one.bytes_more))}",
            f"{one.seconds_more:+.2f} s",
            gigabytes(one.peak_bytes),
            "yes" if one.fits else "no",
        )
    stdout().print(rows)


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def plain(found: Plan, others: list[Option], proposal: dict[str, Any] | None) -> dict[str, Any]:
    """Give a plan as plain JSON data."""
    return {
        "trained_parameters": found.trained,
        "parameters": found.parameters,
        "dtype": found.dtype,
        "place": {
            "device": found.place.device,
            "name": found.place.name,
            "room_bytes": found.place.room_bytes,
            "devices": found.place.devices,
            "spread": found.spread.kind,
        },
        "terms": dict(found.memory.terms),
        "loading_bytes": found.memory.loading_bytes,
        "stepping_bytes": found.memory.stepping_bytes,
        "peak_bytes": found.peak_bytes,
        "fits": found.fits,
        "step_seconds": found.step_seconds,
        "steps": found.steps,
        "hours": found.hours,
        "disk": dict(found.disk),
        "rows": found.load.rows,
        "prepared": dict(found.load.notes),
        "chose": [{"what": one.what, "value": one.value, "why": one.why} for one in found.chose],
        "options": [one.__dict__ for one in others],
        "proposal": proposal,
    }


plan_command = click.Command(
    "plan",
    callback=click.pass_obj(plan),
    params=[
        click.Argument(["target"], metavar="RECIPE|MODEL"),
        click.Argument(["settings"], nargs=-1, metavar="[[STEP.]KEY=VALUE]..."),
        click.Option(["--data"], metavar="ID", help="The examples (default: the newest made for the model)."),
        click.Option(
            ["--gpu"], metavar="NAME", help="Plan for this GPU: RTX 4090, H100, ... (default: this processor)."
        ),
        click.Option(["--memory"], metavar="SIZE", help="Plan for a GPU with so much memory, such as 24GB."),
        click.Option(["--devices"], type=int, default=1, metavar="N", help="Plan for N of them."),
        click.Option(["--json", "as_json"], is_flag=True, help="As JSON."),
    ],
    help=plan.__doc__,
)
