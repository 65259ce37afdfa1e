"""Task files: what is asked of the models, and by what they are judged. One YAML file a task."""

import difflib
import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from luthier.errors import SpecError
from luthier.measure.filters import FILTERS
from luthier.measure.metrics import CRITERIA, metrics
from luthier.spec import Settings, Spec, build, read_settings

HELDOUT = "heldout"
"""The name in reports and rules of the rows without a tag: they alone decide."""
ALL = "all"
"""What all rows together are called where each of them has a tag: the figure of a benchmark that has parts."""
OFFLINE = "offline"
"""The judge that goes by words."""

PROMPT = "write prompt: ... (a template over a row's columns)"
Count = Annotated[int, Field(ge=1)]


class BesideSpec(Spec):
    """Another file whose rows belong to the asked ones."""

    file: str
    """Its path, seen from the rows' folder; `{name}` stands for the name of the rows' file without its ending."""
    by: str = ""
    """The column both have; empty: line by line."""
    there: str = ""
    """What that column is called in the other file, where it is called otherwise."""


class ShotsSpec(Spec):
    """Solved rows shown before the one that is asked."""

    count: Count
    """How many; the first ones, of the asked row's own tag where rows have tags."""
    file: str = ""
    """The file that holds them, seen from the rows' folder; empty: the rows themselves, those shown being not asked."""
    inside: str = ""
    """Which files in a zip or a folder, where they lie in one."""
    answer: str = ""
    """How a solved row's answer is shown, a template; empty: its reference, or its option."""


class CodeSpec(Spec):
    """How an answer that is code is proven."""

    begin: str = "{{ prompt }}"
    """The code the answer goes on with, a template."""
    test: str = "{{ test }}"
    """The code that defines `check(candidate)`, a template."""
    entry: str = "{{ entry_point }}"
    """The name of the function that is tested, a template."""
    seconds: Annotated[float, Field(gt=0)] = 5.0
    """How long the tests of one answer may take."""
    memory_mb: Annotated[int, Field(ge=64)] = 1024
    """How much memory the answer's process may take."""
    processes: Count = 16
    """How many processes and threads it may have."""


class TaskSpec(Spec):
    """What is asked of the models, and by what they are judged."""

    title: str
    """What the task is, in a few words: the report's heading."""
    metrics: tuple[str, ...]
    """Names of metrics; the first one that has a figure for each row orders the report."""
    kind: Literal["chat", "text", "choice", "perplexity", "judge"] = "chat"
    """What is asked: an answer to a chat, the continuation of a text, which of the options is likelier to go on, how
    well a text is expected; or what a judge thinks, where people have said it before: then the judge is on trial."""
    rows: str = ""
    """The file with the task's own rows, seen from this file; empty: prepared examples are asked, or `rows=FILE`."""
    source: str = ""
    """Where the rows can be had, for whoever lacks them."""
    inside: str = ""
    """Which files in a zip or a folder: `test/*.csv`."""
    beside: dict[str, BesideSpec] = Field(default_factory=dict)
    """Column -> another file whose rows are put into it."""
    shuffle: str = ""
    """A column of which every row is asked a second time with another row's value; `_shuffled` says which it is."""
    where: str = ""
    """A Jinja condition over a row's columns: rows for which it is false are not asked."""
    system: str = ""
    """The system message of a chat, a Jinja template over the row's columns."""
    prompt: str = ""
    """What is asked, a template."""
    reference: str = ""
    """What the answer is held against, a template."""
    context: str = ""
    """The facts an answer must follow from, a template: what judges look at."""
    claim: str = ""
    """The answer a judge on trial judges, a template."""
    criterion: Literal["", "consistency", "relevance", "truthfulness"] = ""
    """By what a judge on trial judges."""
    options: tuple[str, ...] = ()
    """A choice's options as they go on from the prompt, white space included; templates."""
    normalized: bool = False
    """Whether an option's log-probability is divided by its length in bytes."""
    labels: tuple[str, ...] = ()
    """The classes, in the order of the confusion matrix; empty: those of the references."""
    tools: str = ""
    """The column that holds the functions which may be called."""
    code: CodeSpec | None = None
    """How an answer that is code is proven."""
    shots: ShotsSpec | None = None
    """Solved rows shown before the one that is asked."""
    filters: tuple[str | dict[str, str], ...] = ()
    """What is done to an answer before it is judged, in order: a name, or `name: argument`."""
    samples: Count = 1
    """How often each row is asked: pass@k needs k at least, and a temperature above 0."""
    tag: str = ""
    """The name a row is reported under, a template; empty: rows without a tag."""
    group: str = ""
    """What a row is drawn together with in a bootstrap, a template."""
    limits: dict[str, Count] = Field(default_factory=dict)
    """Tag -> at most so many rows; `heldout` means the rows without a tag. A tag that is not named has no limit."""
    max_tokens: Count = 128
    """At most so many new tokens an answer; of a text whose perplexity is asked, tokens read at once."""
    temperature: Annotated[float, Field(ge=0)] = 0.0
    """0 is greedy: the same answers at every run."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""
    rows_per_batch: Count = 32
    """Rows given to the model at once; what a kill can lose at most."""

    @property
    def has_own_rows(self) -> bool:
        """Whether it says how to ask rows of a file; else it asks prepared examples."""
        return bool(self.prompt) or self.kind == "judge"


def read_task(path: Path) -> TaskSpec:
    """Read a task file.

    Raises SpecError if it is missing, holds an unknown key, or names no metric or one that nobody knows or that does
    not fit the task.
    """
    settings = read_settings(path)
    task = build(TaskSpec, settings)
    _check_metrics(task, settings)
    _check_filters(task, settings)
    _check_kind(task, settings)
    return task


def fingerprint(path: Path) -> str:
    """Give `sha256:` and the hash of a file's bytes, as orders name files from outside."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which of the known names was meant, or list them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(names)}"


def _check_metrics(task: TaskSpec, settings: Settings) -> None:
    known = metrics()
    if not task.metrics:
        raise SpecError(
            "the task names no metrics",
            where=settings.place(("metrics",)),
            mend=f"write metrics: [...] with some of: {', '.join(known)}",
        )
    for place, name in enumerate(task.metrics):
        where = settings.place(("metrics", place))
        if name not in known:
            raise SpecError(f"there is no metric {name!r}", where=where, mend=nearest(name, known))
        if name in task.metrics[:place]:
            raise SpecError(f"the metric {name!r} stands twice", where=where, mend="remove one of them")
        unfit = _unfit(task, name)
        if unfit:
            raise SpecError(f"the metric {name!r} does not fit the task: {unfit}", where=where, mend="leave it out")


def _unfit(task: TaskSpec, name: str) -> str:
    """Why a metric cannot be taken in a task, '' if it can."""
    needs = metrics()[name].needs
    if task.kind == "perplexity" and needs != "log_probabilities":
        return "no answer is asked for"
    if task.kind != "perplexity" and needs == "log_probabilities" and task.has_own_rows:
        return "references are only expected in prepared examples, and texts where kind is perplexity"
    if task.kind == "judge" and needs != "answers":
        return "a judge on trial says yes or no"
    if task.kind == "choice" and needs != "answers":
        return "an option is chosen, nothing is written"
    if metrics()[name].samples > task.samples:
        return f"it needs samples: {metrics()[name].samples} at least, the task takes {task.samples}"
    if (needs == "tests") != (task.code is not None):
        return "it proves code, and the task has no `code`" if needs == "tests" else ""
    return ""


def _check_filters(task: TaskSpec, settings: Settings) -> None:
    for place, wish in enumerate(task.filters):
        where = settings.place(("filters", place))
        if isinstance(wish, dict) and len(wish) != 1:
            raise SpecError(f"{wish} is not one filter", where=where, mend="write one `name: argument` a line")
        name = wish if isinstance(wish, str) else next(iter(wish))
        if name not in FILTERS:
            raise SpecError(f"there is no filter {name!r}", where=where, mend=nearest(name, FILTERS))
        if FILTERS[name].takes_argument != isinstance(wish, dict):
            need = "needs an argument" if FILTERS[name].takes_argument else "takes no argument"
            raise SpecError(f"the filter {name!r} {need}", where=where, mend=FILTERS[name].about)


def _check_kind(task: TaskSpec, settings: Settings) -> None:
    """Raise SpecError for keys that need one another and do not have it."""
    is_trial = task.kind == "judge"
    needs = (
        (is_trial and not task.claim, "claim", "write claim: ..., the answer that is judged"),
        (is_trial and not task.criterion, "criterion", f"write one of {', '.join(CRITERIA)}"),
        (is_trial and len(task.labels) != 2, "labels", "write two: the one of bad answers, then that of good ones"),
        (bool(task.options) and task.kind != "choice", "options", "set kind: choice, or leave options out"),
        (task.kind == "choice" and len(task.options) < 2, "options", "write two options at least"),
        (task.kind != "chat" and bool(task.system), "system", "a text has no system message: leave it out"),
        (task.kind not in ("chat", "judge") and not task.prompt, "prompt", PROMPT),
        (bool(task.rows) and not task.has_own_rows, "prompt", PROMPT),
        (task.kind != "perplexity" and bool(task.prompt) and not (task.reference or task.code or _judged(task)),
         "reference", "write reference: ..., what answers are held against"),
        (task.samples > 1 and task.temperature == 0, "samples", "set a temperature above 0: greedy answers are alike"),
    )  # fmt: skip
    for is_wrong, key, mend in needs:
        if is_wrong:
            value = getattr(task, key)
            what = f"{key} is {value!r}, which does not go with the rest" if value else f"{key!r} is not set"
            raise SpecError(what, where=settings.place((key,)), mend=mend)


def _judged(task: TaskSpec) -> bool:
    return all(metrics()[name].needs.startswith("judged") for name in task.metrics)
