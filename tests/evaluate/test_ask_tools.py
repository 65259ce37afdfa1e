"""A row with tools is asked with them: the model sees what it was trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from fake_models import example, tokens

from luthier.artifact.example import Conversation, write_examples
from luthier.artifact.tokens import write_tokens
from luthier.engine.ports import Answer, Prompt
from luthier.evaluate.ask import ask
from luthier.evaluate.choose import read_prepared
from luthier.evaluate.kept import Kept
from luthier.event import Chose, Event, Progress, Tell, hush
from luthier.measure.task import TaskSpec

TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


class Listener:
    """Remembers what it is asked."""

    name = "listener"
    defaults: dict[str, object] = {}  # noqa: RUF012 (nothing writes it)

    def __init__(self) -> None:
        self.heard: list[Prompt] = []

    def answer(self, prompts: list[Prompt], sampling: object, tell: object) -> list[Answer]:
        self.heard += prompts
        return [Answer("x", (1,), (1,), "stop") for _ in prompts]

    def score(self, rows: list[object], tell: object) -> list[object]:
        return [np.zeros(1) for _ in rows]


def test_tools_are_asked_with_the_row_that_has_them(tmp_path: Path) -> None:
    plain, tooled = example(1), replace(example(2), tools=(TOOL,))
    write_examples(tmp_path, "test", (plain, tooled))
    write_tokens(tmp_path, "test", [tokens(8, 2)] * 2)
    rows = read_prepared(tmp_path, "test")
    model = Listener()
    task = TaskSpec(title="t", metrics=("rouge_l",))
    ask("base", rows, task, 0, Kept(tmp_path / "kept.jsonl"), lambda: model, hush)  # type: ignore[arg-type, return-value]
    assert model.heard == [plain.prompt, Conversation(tooled.prompt, (TOOL,))]


def test_what_every_batch_chooses_anew_is_told_once(tmp_path: Path, told: list[Event]) -> None:
    class Chooser(Listener):
        def answer(self, prompts: list[Prompt], sampling: object, tell: Tell) -> list[Answer]:  # type: ignore[override]
            tell(Chose("tools", "written as text", f"by prompt {len(self.heard)}"))
            return super().answer(prompts, sampling, tell)

    write_examples(tmp_path, "test", [example(number) for number in range(4)])
    write_tokens(tmp_path, "test", [tokens(8, 2)] * 4)
    task = TaskSpec(title="t", metrics=("rouge_l",), rows_per_batch=1)
    rows = read_prepared(tmp_path, "test")
    ask("base", rows, task, 0, Kept(tmp_path / "kept.jsonl"), Chooser, told.append)  # type: ignore[arg-type]
    assert [event for event in told if not isinstance(event, Progress)] == [
        Chose("tools", "written as text", "by prompt 0")
    ]
