"""Write what the documentation says about settings, commands, events, metrics and errors, from the code itself.

    python docs/generate.py           writes docs/reference/*.md, and the tables between markers in the other pages
    python docs/generate.py --check   writes nothing; names the pages that would change, and ends with status 1

A table stands between `<!-- generated: NAME ... -->` and `<!-- end -->`; NAME is a row of TABLES.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields as parts
from pathlib import Path
from typing import Any

import click
from api_page import api
from pydantic import BaseModel

from luthier import errors, event
from luthier.act.spec import ApiSpec, KnowledgeSpec, McpSpec, PythonSpec
from luthier.answer.queries import WAYS
from luthier.answer.synthesis import SYNTHESES
from luthier.cli.fields import fields
from luthier.cli.main import EXIT_STATUS, WORDS, luthier
from luthier.engine.capability import ENGINES
from luthier.engine.ports import Sampling
from luthier.errors import LuthierError
from luthier.fetch.sources import SOURCES
from luthier.learn.doctor import RULES
from luthier.learn.optimizer import OPTIMIZERS
from luthier.measure.metrics import METRICS
from luthier.measure.shipped import find_task, shipped_tasks
from luthier.measure.task import TaskSpec, read_task
from luthier.model.machine import DEVICES
from luthier.model.methods import METHODS
from luthier.prepare.lint.table import FINDINGS
from luthier.prepare.spec import HoldOutSpec
from luthier.quantize.certify import BOUNDS
from luthier.quantize.kinds import KINDS
from luthier.recipe.stages import STAGES
from luthier.serve.spec import LadderSpec, RungSpec, ServeSpec, TrialSpec
from luthier.tune.incompatible import INCOMPATIBLE
from luthier.tune.trackers import TRACKERS

DOCS = Path(__file__).parent
MARKED = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = 100
NOTE = "Written by `docs/generate.py` from the code (`make fix`); change it there.\n"
SPECS: dict[str, type[BaseModel]] = {
    **{name: stage.spec_class() for name, stage in STAGES.items()},
    "serve": ServeSpec,
    "task": TaskSpec,
    "hold_out": HoldOutSpec,
    "act_api": ApiSpec,
    "act_mcp": McpSpec,
    "act_python": PythonSpec,
    "act_knowledge": KnowledgeSpec,
    "ladder": LadderSpec,
    "rung": RungSpec,
    "trial": TrialSpec,
}


def table(heads: Sequence[str], lines: Iterator[Sequence[str]]) -> str:
    """Give a Markdown table; a bar inside a cell is escaped."""
    rows = [heads, ["---"] * len(heads), *lines]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |\n" for row in rows)


def settings(name: str) -> str:
    """Give the table of a spec's settings."""
    lines = (
        (f"`{field.key}`", field.type, f"`{field.default}`" if field.default else "", field.about)
        for field in fields(SPECS[name])
    )
    return table(("key", "value", "default", "meaning"), lines)


def metrics() -> str:
    """Give the table of metrics."""
    lines = (
        (f"`{name}`", row.label, "higher" if row.higher_is_better else "lower", row.needs.replace("_", " "))
        for name, row in METRICS.items()
    )
    return table(("name", "what it is", "better is", "needs"), lines)


def tasks() -> str:
    """Give the table of shipped tasks."""
    found = ((name, read_task(find_task(name))) for name in shipped_tasks())
    lines = (
        (f"`{name}`", task.title, ", ".join(task.metrics), str(task.max_tokens), _limits(task)) for name, task in found
    )
    return table(("task", "title", "metrics", "most new tokens", "most rows by tag"), lines)


def _limits(task: TaskSpec) -> str:
    return ", ".join(f"{tag} {count}" for tag, count in task.limits.items()) or "all"


def sources() -> str:
    """Give the table of sources and the settings each heeds."""
    lines = ((f"`{name}:`", ", ".join(f"`{key}`" for key in row.heeds) or "none") for name, row in SOURCES.items())
    return table(("prefix", "settings it heeds besides `source`"), lines)


def error_kinds() -> str:
    """Give the table of errors with what the shell sees."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, LuthierError)]
    lines = ((f"`{kind.__name__}`", _first(kind), str(EXIT_STATUS.get(kind, 1))) for kind in kinds[1:])
    return table(("error", "what it means", "exit status"), lines)


def events() -> str:
    """Give the table of events with their fields."""
    lines = (
        (f"`{name}`", _first(kind), ", ".join(f"`{part.name}`" for part in parts(kind)))
        for name, kind in event.KINDS.items()
    )
    return table(("event", "what it tells", "fields"), lines)


def stages() -> str:
    """Give the table of stages: what each takes and makes."""
    lines = (
        (
            f"`{name}`",
            stage.about,
            ", ".join(f"{role} (`{row.kind}`)" for role, row in stage.takes.items()) or "nothing",
        )
        for name, stage in STAGES.items()
    )
    return table(("stage", "what it does", "takes"), lines)


def methods() -> str:
    """Give the table of ways to tune."""
    lines = (
        (f"`{name}`", row.about, "yes" if row.packs else "no", "yes" if row.on_quantized else "no", _devices(name))
        for name, row in METHODS.items()
    )
    return table(("`adapter.kind`", "what is trained", "rows packed", "on 4 and 8 bits", "devices"), lines)


def _devices(kind: str) -> str:
    """Give the devices a method is not refused on."""
    pairs = [row for row in INCOMPATIBLE if (row.first, row.second) == ("adapter.kind", "device")]
    refused = {value for row in pairs if kind in row.first_values for value in row.second_values}
    return ", ".join(name for name in ("cpu", *DEVICES) if name not in refused) if refused else "any"


def devices() -> str:
    """Give the table of devices, in the order in which they are preferred."""
    rows = ((f"`{name}`", row.about, row.dtype) for name, row in DEVICES.items())
    last = ("`cpu`", "always here", "bfloat16 where the processor has instructions for it, else float32")
    return table(("`device`", "taken where", "computes in"), iter([*rows, last]))


def optimizers() -> str:
    """Give the table of optimizers."""
    lines = (
        (f"`{name}`", row.about, f"{row.state_bytes:g}", " and ".join(row.devices) or "any")
        for name, row in OPTIMIZERS.items()
    )
    return table(("`learn.optimizer`", "what it is", "bytes a trained parameter", "devices"), lines)


def incompatible() -> str:
    """Give the table of settings that do not go together."""
    lines = (
        (f"`{row.first}` = {_listed(row.first_values)}", f"`{row.second}` = {_listed(row.second_values)}", row.why)
        for row in INCOMPATIBLE
    )
    return table(("this", "with this", "why not"), lines)


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)


def doctor() -> str:
    """Give the table of what the doctor sees."""
    return table(("finding", "seen when"), ((name, rule.about) for name, rule in RULES.items()))


def trackers() -> str:
    """Give the table of trackers."""
    return table(("`track`", "where it logs"), ((f"`{name}`", row.about) for name, row in TRACKERS.items()))


def _first(kind: type[Any]) -> str:
    return str(kind.__doc__).strip().partition("\n")[0]


def findings() -> str:
    """Give the table of what lint finds."""
    lines = (
        (f"`{code}`", rule.severity, rule.title, rule.mend, rule.needs or "nothing") for code, rule in FINDINGS.items()
    )
    return table(("number", "severity", "what is wrong", "how to mend it", "what it needs"), lines)


def kinds() -> str:
    """Give the table of what quantize makes."""
    lines = ((f"`{name}`", row.about, row.engine, row.device or "any", row.needs) for name, row in KINDS.items())
    return table(("kind", "what it is", "engine", "machine", "needs"), lines)


def engines() -> str:
    """Give the table of engines: what each runs, on what, with which adapters."""
    lines = (
        (
            f"`{name}`",
            f"{row.about}; {row.runs}",
            ", ".join(row.devices),
            row.architectures,
            ", ".join(row.weights),
            row.adapters,
            row.at_once,
            row.scores,
            row.needs or "nothing more",
        )
        for name, row in ENGINES.items()
    )
    heads = (
        "engine",
        "what it is",
        "devices",
        "architectures",
        "weights",
        "adapters",
        "at the same time",
        "scores",
        "needs",
    )
    return table(heads, lines)


def engine_wishes() -> str:
    """Give which wishes of a request each engine heeds."""
    heeded = {name: row.heeds() for name, row in ENGINES.items()}
    lines = (
        (f"`{wish.name}`", *("yes" if wish.name in heeds else "" for heeds in heeded.values()))
        for wish in parts(Sampling)
    )
    return table(("wish", *heeded), lines)


def queries() -> str:
    """Give the table of what may be searched for."""
    lines = ((f"`{name}`", way.about, "yes" if way.needs_generator else "") for name, way in WAYS.items())
    return table(("`queries`", "what it is", "needs a generator"), lines)


def syntheses() -> str:
    """Give the table of ways from passages to an answer."""
    lines = ((f"`{name}`", row.about, "yes" if row.needs_generator else "") for name, row in SYNTHESES.items())
    return table(("`synthesis`", "what it is", "needs a generator"), lines)


def bounds() -> str:
    """Give the table of what a certificate must show."""
    lines = (
        (
            name,
            *(f"{value:g}" for value in (row.kl, row.near_agreement, row.perplexity_ratio, row.told)),
            kinds_that_hold(name),
        )
        for name, row in BOUNDS.items()
    )
    heads = ("bound", "kl at most", "near_agreement at least", "perplexity at most, times", "told_difference at most")
    return table((*heads, "kinds"), lines)


def kinds_that_hold(bound: str) -> str:
    """Name the kinds under a bound."""
    return ", ".join(f"`{name}`" for name, row in KINDS.items() if row.holds == bound)


TABLES: dict[str, Callable[[], str]] = {
    "engines": engines,
    "engine-wishes": engine_wishes,
    **{f"settings-{name}": lambda name=name: settings(name) for name in SPECS},  # type: ignore[misc]
    "metrics": metrics,
    "tasks": tasks,
    "sources": sources,
    "errors": error_kinds,
    "events": events,
    "stages": stages,
    "findings": findings,
    "methods": methods,
    "devices": devices,
    "optimizers": optimizers,
    "incompatible": incompatible,
    "doctor": doctor,
    "trackers": trackers,
    "kinds": kinds,
    "queries": queries,
    "syntheses": syntheses,
    "bounds": bounds,
}


def reference() -> dict[str, str]:
    """Give the pages that are generated whole: name -> text."""
    about = {
        **{
            name: f"`luthier {name}`, or the step `{name}` of a recipe. See [{name}](../stages/{name}.md)."
            for name in STAGES
        },
        "serve": "`luthier serve`. See [serve](../stages/serve.md).",
        "task": "A task file of `evaluate`. See [evaluate](../stages/evaluate.md).",
        "ladder": "One of `ladders` of `serve`. See [serve under load](../stages/serve-load.md).",
        "rung": "One of `rungs` of a ladder.",
        "trial": "One of `trials` of `serve`.",
        **{
            f"act_{kind}": f"One of `{key}` of `act`. See [act](../stages/act.md)."
            for kind, key in {"api": "apis", "mcp": "mcp", "python": "python", "knowledge": "knowledge"}.items()
        },
        "hold_out": "Below `split.hold_out` of `prepare`. See [prepare](../stages/prepare.md).",
    }
    specs = "".join(f"\n## {name}\n\n{about[name]}\n\n{settings(name)}" for name in SPECS)
    commands = "".join(f"\n## luthier {name}\n\n```\n{help_of(name)}\n```\n" for name in (*STAGES, *WORDS))
    return {
        "api.md": api(NOTE, table),
        "settings.md": f"# Settings\n\n{NOTE}{specs}",
        "commands.md": f"# Commands\n\n{NOTE}\n```\n{help_of()}\n```\n{commands}",
        "events.md": f"# Events\n\n{NOTE}\nOne JSON object a line in `.luthier/runs/TIME-WORD/events.jsonl`; each also "
        f"has `event` (its name) and `at` (seconds since 1970).\n\n{events()}",
    }


def help_of(name: str = "") -> str:
    """Give what `luthier [NAME] --help` prints on a terminal of this width."""
    top = click.Context(luthier, info_name="luthier", terminal_width=COLUMNS, max_content_width=COLUMNS)
    command = luthier.get_command(top, name) if name else luthier
    assert command
    context = click.Context(
        command,
        info_name=name or "luthier",
        parent=top if name else None,
        terminal_width=COLUMNS,
        max_content_width=COLUMNS,
        help_option_names=["-h", "--help"],
    )
    lines = (line.rstrip() for line in command.get_help(context).splitlines())
    return "\n".join(lines).replace("luthier [OPTIONS] COMMAND [ARGS]... ", "luthier ").strip()


def pages() -> Iterator[tuple[Path, str]]:
    """Give each page that holds something generated, as it should be."""
    for name, text in reference().items():
        yield DOCS / "reference" / name, text
    for path in sorted(path for path in DOCS.rglob("*.md") if path.parent.name != "reference"):
        text = path.read_text(encoding="utf-8")
        if MARKED.search(text):
            yield path, MARKED.sub(lambda found: f"{found[1]}{TABLES[found['name']]()}{found[3]}", text)


def main() -> int:
    """Give the exit status: 1 if something is stale and may not be written."""
    is_check = sys.argv[1:] == ["--check"]
    status = 0
    for path, text in pages():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        if is_check:
            print(f"{path.relative_to(DOCS.parent)} is stale")
            status = 1
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return status


if __name__ == "__main__":
    sys.exit(main())
