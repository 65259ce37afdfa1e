"""What some stages' commands can do beside running the stage: a row each."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click

from luthier.artifact.store import Artifact, Store
from luthier.cli.act import ask_leave, show_answer
from luthier.cli.release import RELEASE_OPTIONS, decide
from luthier.cli.restore import RESTORE_OPTIONS, newest_examples, restore_instead
from luthier.cli.stdout import stdout
from luthier.errors import SpecError, Stopped
from luthier.event import Tell
from luthier.recipe.exams import as_asked_before

Inputs = Mapping[str, Artifact | None]
"""Role -> the artifact that a stage takes."""


@dataclass(frozen=True)
class Extra:
    """Options of one stage's command, and what they do."""

    options: tuple[click.Option, ...] = ()
    instead: Callable[[Store, Mapping[str, Any], bool], bool] | None = None
    """Called first with the options and whether settings were given; true means that all is done."""
    arguments: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda given: {}
    """More arguments for the stage's function."""
    settings: Callable[[Mapping[str, Any]], list[str]] = lambda given: []
    """Settings (`key=value`) that an option stands for."""
    settle: Callable[[Any, Store, Tell], Any] = lambda spec, store, tell: spec
    """Called with the spec before all else; gives it with what the project knows put in."""
    rather: Callable[[Any, Inputs, Store, Tell, Mapping[str, Any]], Callable[[], int] | None] | None = None
    """Called with the spec in place of the stage's function; gives what reports and then says the exit status, or None
    where the stage is to be run."""
    afterwards: Callable[[Artifact, Inputs, Mapping[str, Any]], None] | None = None


def _prepared_instead(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    return restore_instead(store, given, has_settings) or _look_instead(store, given, has_settings)


def _look_instead(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """`luthier prepare --look 3` alone shows what was prepared last."""
    if given["look"] is not None and given["look"] < 1:
        raise SpecError(
            f"{given['look']} examples cannot be shown", where="--look", mend="give a number from 1 on: --look 3"
        )
    if not (given["look"] or given["look_html"]) or has_settings:
        return False
    newest = newest_examples(store, "--look 3")
    _look(newest, store.find(newest.order.inputs["model"], "model"), given)
    return True


def _look_afterwards(made: Artifact, inputs: Inputs, given: Mapping[str, Any]) -> None:
    model = inputs["model"]
    if (given["look"] or given["look_html"]) and model:
        _look(made, model, given)


def _look(made: Artifact, model: Artifact, given: Mapping[str, Any]) -> None:
    from rich.console import Console

    from luthier.prepare.look import look
    from luthier.prepare.look_page import write_page

    if given["look_html"]:
        count = given["look"] or EXAMPLES_ON_A_PAGE
        write_page(made, model, given["split"], count, Path(given["look_html"]))
        click.echo(given["look_html"], err=True)
    else:
        look(made, model, given["split"], given["look"], Console(highlight=False))


def _lint(spec: Any, inputs: Inputs, store: Store, tell: Tell, given: Mapping[str, Any]) -> Callable[[], int] | None:
    """`luthier prepare ... --lint` reports what is wrong with the rows, and makes nothing."""
    model = inputs["model"]
    for option in ("json", "lengths_png"):
        if given[option] and not given["lint"]:
            name = f"--{option.replace('_', '-')}"
            raise SpecError(f"{name} goes with --lint", where="command line", mend=f"add --lint, or leave {name} out")
    if not given["lint"] or model is None:
        return None
    from luthier.prepare.lint.report import print_report, write_picture
    from luthier.prepare.linting import lint

    found = lint(spec, model, inputs.get("rows"), store, tell, processes=given["processes"])

    def report() -> int:
        if given["lengths_png"]:
            write_picture(found, Path(given["lengths_png"]))
            click.echo(given["lengths_png"], err=True)
        if given["json"]:
            click.echo(json.dumps(found.plain(), ensure_ascii=False))
        else:
            print_report(found, stdout())
        return int(found.has_errors)

    return report


def _start(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["resume"] and given["fresh"]:
        raise SpecError("--resume and --fresh exclude each other", where="command line", mend="leave one out")
    return {
        "start": "checkpoint" if given["resume"] else "fresh" if given["fresh"] else "newest",
        "anyway": given["anyway"],
        "processes": given["processes"] or 1,
        "cluster": given["cluster"],
    }


def _follow(store: Store, given: Mapping[str, Any], has_settings: bool) -> bool:
    """Among the processes that torchrun started, all but the first do what the first one says, and tell nothing."""
    from luthier.tune.job import torchrun_place

    place = torchrun_place()
    if place is None or place.rank == 0:
        return False
    from luthier.tune.torchrun import follow

    try:
        follow(place)
    except Stopped:
        sys.exit(130)  # the first process says so
    return True


def _verify(spec: Any, inputs: Inputs, store: Store, tell: Tell, given: Mapping[str, Any]) -> Callable[[], int] | None:
    """`luthier tune --verify-resume` proves on the first steps of this very run that going on is exact."""
    model, data = inputs["model"], inputs["data"]
    if not given["verify_resume"] or model is None or data is None:
        return None
    from luthier.tune.verify import verify_resume

    proof = verify_resume(spec, model, data, store, tell, processes=given["processes"] or 1)

    def report() -> int:
        click.echo("\n".join(proof.lines()))
        return 0 if proof.holds else 1

    return report


def _answers_afterwards(made: Artifact, inputs: Inputs, given: Mapping[str, Any]) -> None:
    from luthier.cli.sources import show_answers

    show_answers(made)


def _answer_settings(given: Mapping[str, Any]) -> list[str]:
    return [f"{name}={json.dumps(given[name], ensure_ascii=False)}" for name in ("tune", "replay") if given[name]]


def _care(spec: Any, inputs: Inputs, store: Store, tell: Tell, given: Mapping[str, Any]) -> Callable[[], int] | None:
    """`luthier index --list`, `--delete`, `--verify`, `--repair` and `--tune` make no artifact."""
    asked = [name for name in ("list", "delete", "verify", "repair", "tune") if given[name]]
    if len(asked) > 1:
        raise SpecError(f"--{' and --'.join(asked)} exclude each other", where="command line", mend="give one of them")
    if not asked:
        return None
    from luthier.index.care import check, delete_documents, list_documents

    if asked[0] == "delete":
        delete_documents(store.root, spec.name, spec.sources, tell)
        return lambda: 0
    if asked[0] == "list":
        labels = list_documents(store.root, spec.name)
        return partial(_print_lines, labels)
    if asked[0] == "tune":
        from luthier.artifact.questions import read_questions
        from luthier.index.tune import tune

        questions = None if given["tune"] == MADE else read_questions(Path(given["tune"]))
        return partial(_print_lines, tune(spec, questions, store.root, tell).lines())
    health = check(store.root, spec.name, tell, mend=asked[0] == "repair")

    def report() -> int:
        click.echo("\n".join(health.lines()))
        return 0 if health.is_whole else 1

    return report


def _print_lines(lines: list[str]) -> int:
    click.echo("\n".join(lines))
    return 0


EXAMPLES_ON_A_PAGE = 50
MADE = "made"
"""What `--tune` without a file says: questions are made of the documents."""

EXTRAS: dict[str, Extra] = {
    "fetch": Extra(
        options=(click.Option(["--convert"], is_flag=True, help="Turn pickled weights into safetensors."),),
        settings=lambda given: ["convert=true"] if given["convert"] else [],
    ),
    "index": Extra(
        options=(
            click.Option(["--list"], is_flag=True, help="Make nothing: list the documents it holds."),
            click.Option(["--delete"], is_flag=True, help="Take these documents out: never found again."),
            click.Option(["--verify"], is_flag=True, help="Make nothing: say whether it is whole; status 1 if not."),
            click.Option(["--repair"], is_flag=True, help="Mend what --verify finds."),
            click.Option(
                ["--tune"],
                is_flag=False,
                flag_value=MADE,
                metavar="[FILE]",
                help="Find the best cut by these questions (by questions made of the documents), and write it.",
            ),
            click.Option(
                ["--processes"], type=int, metavar="N", help="Read in N processes (default: one for each core)."
            ),
        ),
        arguments=lambda given: {"processes": given["processes"]},
        rather=_care,
    ),
    "prepare": Extra(
        options=(
            click.Option(["--look"], type=int, metavar="N", help="Show N examples, learned tokens coloured."),
            click.Option(["--look-html"], metavar="FILE", help="Write them as a page, with every token's id."),
            click.Option(["--split"], default="train", help="Of which split (default: train)."),
            click.Option(["--lint"], is_flag=True, help="Make nothing: report what is wrong; status 1 for errors."),
            click.Option(["--json"], is_flag=True, help="With --lint: as JSON."),
            click.Option(["--lengths-png"], metavar="FILE", help="With --lint: draw the lengths of the rows, too."),
            *RESTORE_OPTIONS,
            click.Option(
                ["--processes"], type=int, metavar="N", help="Work in N processes (default: one for each core)."
            ),
        ),
        instead=_prepared_instead,
        settle=as_asked_before,
        arguments=lambda given: {"processes": given["processes"]},
        rather=_lint,
        afterwards=_look_afterwards,
    ),
    "tune": Extra(
        options=(
            click.Option(["--resume"], is_flag=True, help="Insist on going on from a checkpoint."),
            click.Option(["--fresh"], is_flag=True, help="Begin anew even if there is a checkpoint."),
            click.Option(["--anyway"], is_flag=True, help="Go on even where other bits come out (other versions)."),
            click.Option(["--processes"], type=int, metavar="N", help="Learn in N processes of this machine."),
            click.Option(["--cluster"], metavar="ADDRESS", help="... of a Ray cluster: ray://host:port, or local."),
            click.Option(
                ["--verify-resume"], is_flag=True, help="Make nothing: prove that a killed run goes on bit for bit."
            ),
        ),
        instead=_follow,
        arguments=_start,
        rather=_verify,
    ),
    "answer": Extra(
        options=(
            click.Option(["--tune"], metavar="FILE", help="Find by these questions from when on to answer at all."),
            click.Option(["--replay"], metavar="ID|FILE", help="Ask the questions of earlier answers or traces again."),
        ),
        settings=_answer_settings,
        afterwards=_answers_afterwards,
    ),
    "release": Extra(options=RELEASE_OPTIONS, instead=decide),
    "act": Extra(arguments=lambda given: {"leave": ask_leave}, afterwards=show_answer),
}
