"""What one may ask of an evaluation."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from luthier.errors import SpecError
from luthier.measure.shipped import find_task
from luthier.measure.task import OFFLINE, TaskSpec, fingerprint, read_task
from luthier.spec import Spec

TOOL = "lm-eval"
PEER = "lm_eval:"
"""How the name of a task begins that lm-eval asks."""


class EvaluateSpec(Spec):
    """How models are asked and judged."""

    task: str = "answer"
    """The name of a shipped task, the path of a YAML file of your own, or `lm_eval:NAME`: a task of lm-eval, by name or
    file, which that tool asks of the model (`luthier setup lm-eval`)."""
    rows: str = ""
    """The file (or zip, or folder) with the rows of a task that brings its own prompt; empty: as the task says."""
    alone: bool = False
    """Ask one model (`--model ID`, anything that answers) and hold it against nothing, in place of base and tuned."""
    url: str = ""
    """Ask, alone, the model behind this OpenAI address in place of an artifact."""
    name: str = ""
    """Which of the address's models; empty: the first it has."""
    judge: str = OFFLINE
    """Who judges, where a task has judged metrics or puts a judge on trial: an artifact's id, an OpenAI address, or
    `offline`, which goes by words, numbers and denials."""
    embedder: str = "minilm"
    """What turns texts into vectors, where the task measures similarity: `minilm` (English), `e5` or `use` (many
    languages), a folder of sentence-transformers, or `http://host/v1#model`."""
    shots: Annotated[int, Field(ge=0)] | None = None
    """How many solved rows stand before each that lm-eval asks; unset: as its task says."""
    chat: bool = False
    """Whether lm-eval asks in the model's chat template; behind an address it always does."""
    unsafe: bool = False
    """Run code that models wrote without a sandbox. It may do on this machine whatever you may."""
    split: Literal["test", "dev"] = "test"
    """Which rows of prepared examples are asked."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """At most so many rows of each tag, instead of the task's own limits."""
    seed: int = 0
    """Decides which rows a limit keeps, what is drawn at a temperature, and what the bootstrap draws."""
    bootstrap: Annotated[int, Field(ge=100, le=1_000_000)] = 2000
    """How often rows are drawn anew for the intervals."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """How often such an interval should hold the true gain."""

    @property
    def peer(self) -> str:
        """The name, or the file, of lm-eval's task; '' for a task of ours."""
        return self.task.removeprefix(PEER) if self.task.startswith(PEER) else ""

    @property
    def judge_is_artifact(self) -> bool:
        """Whether the judge is an artifact's id, neither an address nor `offline`."""
        return self.judge != OFFLINE and "://" not in self.judge

    def read(self) -> TaskSpec:
        """Read the task. Raises SpecError for one that cannot be read, and for settings that change nothing in it."""
        if self.peer:
            return TaskSpec(title=f"{Path(self.peer).stem}, asked by lm-eval", metrics=(), prompt=self.task)
        for key, value in (("shots", self.shots), ("chat", self.chat or None)):
            if value is not None:
                raise SpecError(
                    f"{key} is {value!r}, but the task {self.task!r} is none of lm-eval's",
                    where=f"key evaluate.{key}",
                    mend=f"leave it out, or ask a task of lm-eval (task={PEER}NAME)",
                )
        return read_task(find_task(self.task))

    def metrics(self) -> tuple[str, ...]:
        """Read the task and give what it measures; nothing where only lm-eval knows.

        Raises SpecError for a task that cannot be read.
        """
        return self.read().metrics

    def task_hash(self) -> str:
        """Give what an order says of the task: the hash of its file, or the name that lm-eval knows it by."""
        if not self.peer:
            return fingerprint(find_task(self.task))
        return fingerprint(Path(self.peer)) if Path(self.peer).exists() else self.task

    def asks_pair(self) -> bool:
        """Whether a tuned model is held against its base."""
        return not (self.alone or self.url or self.read().kind == "judge")

    def asks_prepared(self) -> bool:
        """Whether prepared examples are asked, not the rows of a file."""
        return not self.read().has_own_rows

    def rows_path(self) -> Path | None:
        """Give the file with the task's rows, None where prepared examples are asked.

        Raises SpecError if the task needs rows and nobody says where they are, or if they are given and not needed.
        """
        task = self.read()
        if self.peer or not task.has_own_rows:
            if self.rows:
                own = "knows its own rows" if self.peer else "asks prepared examples"
                raise SpecError(
                    f"rows is {self.rows!r}, but the task {self.task!r} {own}",
                    where="key evaluate.rows",
                    mend="leave rows out, or name a task that has a prompt",
                )
            return None
        if self.rows:
            return Path(self.rows)
        if not task.rows:
            raise SpecError(
                f"the task {self.task!r} brings no rows",
                where="key evaluate.rows",
                mend=f"give them: rows=FILE{f' ({task.source})' if task.source else ''}",
            )
        return find_task(self.task).parent / task.rows
