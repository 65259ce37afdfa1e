"""A file of questions: every row answered once, whatever breaks it off; what cannot be answered says why."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from luthier.artifact.example import Message
from luthier.engine import batch
from luthier.engine.batch import answer_file
from luthier.engine.ports import Answer, ChatModel, Prompt, Sampling
from luthier.errors import DataError


@dataclass
class Echo:
    """A model that says the last word it heard; words it is told to refuse are refused, one breaks off the run."""

    name: str = "echo"
    asked: list[Prompt] = field(default_factory=list)
    breaks_at: int = 10**6

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: object = None) -> list[Answer]:
        if len(self.asked) + len(prompts) > self.breaks_at:
            raise KeyboardInterrupt
        texts = [prompt if isinstance(prompt, str) else str(prompt[-1].content) for prompt in prompts]  # type: ignore[union-attr, index]
        for index, text in enumerate(texts):
            if text == "too long":
                raise DataError("it has 900 tokens", where=f"prompt {index + 1}", mend="shorten it")
        self.asked.extend(prompts)
        return [Answer(text.upper(), (1, 2), (3,), "stop") for text in texts]


def ask(model: Echo, questions: Path, answers: Path, **more: Any) -> int:
    stand_in: ChatModel = model  # type: ignore[assignment]
    return answer_file(stand_in, questions, answers, **more)


def write(path: Path, rows: Sequence[object]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_form_of_row_is_answered_in_order(tmp_path: Path) -> None:
    rows = [
        {"question": "sky?", "id": "q1"},
        {"prompt": "once upon"},
        {
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": "b"},
                {"role": "user", "content": "好"},
            ]
        },
    ]
    model = Echo()
    assert ask(model, write(tmp_path / "q.jsonl", rows), tmp_path / "out" / "a.jsonl", system="Be brief.") == 3
    found = read(tmp_path / "out" / "a.jsonl")
    assert [(row["line"], row["answer"], row["finish"]) for row in found] == [
        (1, "SKY?", "stop"),
        (2, "ONCE UPON", "stop"),
        (3, "好", "stop"),
    ]
    assert (found[0]["id"], found[0]["prompt_tokens"], found[0]["tokens"], found[0]["model"]) == ("q1", 1, 2, "echo")
    assert model.asked[0] == (Message("system", "Be brief."), Message("user", "sky?"))
    assert model.asked[1] == "once upon"


def test_what_was_broken_off_goes_on_and_asks_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch, "ROWS_AT_ONCE", 8)
    questions = write(tmp_path / "q.jsonl", [{"question": f"number {n}"} for n in range(30)])
    straight, broken = tmp_path / "straight.jsonl", tmp_path / "broken.jsonl"
    ask(Echo(), questions, straight)
    first = Echo(breaks_at=20)
    with pytest.raises(KeyboardInterrupt):
        ask(first, questions, broken)
    assert len(read(broken)) == 16
    broken.write_text(broken.read_text() + '{"line": 17, "ans')  # a kill in the middle of a line
    second = Echo()
    assert ask(second, questions, broken) == 14
    assert broken.read_bytes() == straight.read_bytes()
    assert len(first.asked) + len(second.asked) == 30
    assert ask(Echo(), questions, broken) == 0


def test_a_row_that_is_refused_leaves_the_others_their_answers(tmp_path: Path) -> None:
    texts = [f"n{n}" for n in range(9)]
    texts[4] = "too long"
    questions = write(tmp_path / "q.jsonl", [{"question": text} for text in texts])
    ask(Echo(), questions, tmp_path / "a.jsonl")
    found = read(tmp_path / "a.jsonl")
    assert [row.get("answer") for row in found] == [None if n == 4 else f"N{n}" for n in range(9)]
    assert found[4]["error"] == "it has 900 tokens"


@pytest.mark.parametrize("change", ["question", "model", "sampling"])
def test_answers_to_something_else_are_not_gone_on_with(tmp_path: Path, change: str) -> None:
    questions, answers = write(tmp_path / "q.jsonl", [{"question": "a"}, {"question": "b"}]), tmp_path / "a.jsonl"
    ask(Echo(), questions, answers)
    if change == "question":
        write(questions, [{"question": "a"}, {"question": "c"}])
    model = Echo("another") if change == "model" else Echo()
    sampling = Sampling(seed=4) if change == "sampling" else None
    with pytest.raises(DataError, match="another question") as caught:
        ask(model, questions, answers, sampling=sampling)
    assert caught.value.where == f"{answers}:{2 if change == 'question' else 1}"
    assert "--out" in caught.value.mend


@pytest.mark.parametrize(
    ("text", "what", "line"),
    [
        ("", "no questions", ""),
        ("{", "not JSON", ":1"),
        ('{"question": "a"}\n[1]\n', "no object", ":2"),
        ('{"text": "a"}\n', "asks nothing: its keys are text", ":1"),
        ('{"messages": []}\n', "asks nothing", ":1"),
        ('{"messages": [{"role": "user", "content": 3}]}\n', "asks nothing", ":1"),
    ],
)
def test_a_file_of_another_form_is_refused_before_anything_is_asked(
    tmp_path: Path, text: str, what: str, line: str
) -> None:
    questions = tmp_path / "q.jsonl"
    questions.write_text(text)
    model = Echo()
    with pytest.raises(DataError, match=what) as caught:
        ask(model, questions, tmp_path / "a.jsonl")
    assert caught.value.where == f"{questions}{line}"
    assert '"question"' in caught.value.mend
    assert model.asked == []
    with pytest.raises(DataError, match="cannot be read"):
        ask(model, tmp_path / "nowhere.jsonl", tmp_path / "a.jsonl")
