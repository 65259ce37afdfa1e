"""The stage: a task makes a transcript, tools alone make an agent, which is opened like any model."""

import json
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from scripted_model import ScriptedModel, settings
from shop_server import document_of, open_shop, write_document

from luthier.act.run import act
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.cli.act import ask_leave, show_answer
from luthier.engine.ports import ChatModel, Sampling
from luthier.errors import SpecError, StoreError
from luthier.event import Event, Said, Skipped, hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.recipe.openers import open_artifact

ADD = '{"tool": "calculator", "arguments": {"expression": "6 * 7"}}'
LINES = ['{"tools": ["calculator"]}', ADD, '{"tool": "answer"}', "It is 42."]


def scripted(*lines: str) -> Any:
    return lambda artifact: ScriptedModel(list(lines))


@pytest.fixture
def base(store: Store) -> Artifact:
    return store.make(Order("model", "test", 1, {}), lambda out, work: {}, hush)


def test_a_task_makes_a_transcript_once(store: Store, base: Artifact, told: list[Event]) -> None:
    spec = settings(task="What is 6 * 7?", calculator=True)
    made = act(spec, base, store, hush, scripted(*LINES))
    assert made.kind == "transcript"
    found = json.loads((made.folder / "transcript.json").read_text(encoding="utf-8"))
    assert (found["task"], found["answer"], found["ended"]) == ("What is 6 * 7?", "It is 42.", "answer")
    assert found["steps"] == [
        {"tool": "calculator", "arguments": {"expression": "6 * 7"}, "outcome": "done", "output": "42"}
    ]
    assert found["said"] == LINES
    assert made.card.figures["called"] == {"calculator": 1}
    again = act(spec, base, store, told.append, scripted())
    assert again.id == made.id
    assert [type(event) for event in told] == [Said, Skipped]
    assert isinstance(told[0], Said)
    assert "attempt=2" in told[0].text
    assert act(spec.model_copy(update={"attempt": 2}), base, store, hush, scripted(*LINES)).id != made.id


def test_a_transcript_of_a_knowledge_base_that_changed_meanwhile_is_not_kept(
    store: Store, base: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("boat", "ship"):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"The {name} is red.", encoding="utf-8")
    index(IndexSpec(source=str(tmp_path / "docs"), name="sea", embedder="none"), None, store, hush)
    [sea] = [card.id for card in store.cards() if card.kind == "index"]
    spec = settings(task="What is 6 * 7?", calculator=True, knowledge=[{"model": sea}])
    lines = list(LINES)

    def say(prompt: str, schema: str | None) -> str:
        if len(lines) == 1:
            delete_documents(store.root, "sea", [str(tmp_path / "docs" / "ship.txt")], hush)
        return lines.pop(0)

    with pytest.raises(StoreError, match="the knowledge base 'sea' changed while it was asked") as caught:
        act(spec, base, store, hush, lambda artifact: ScriptedModel(say=say))
    assert caught.value.where == str(store.root / "knowledge" / "sea")
    assert caught.value.mend.startswith("run it again")
    assert not store.newest("transcript")
    made = act(spec, base, store, hush, scripted(*LINES))
    assert made.exists
    assert act(spec, base, store, hush, scripted()).id == made.id
    delete_documents(store.root, "sea", [str(tmp_path / "docs" / "boat.txt")], hush)
    assert act(spec, base, store, hush, scripted(*LINES)).id != made.id


def test_tools_alone_make_an_agent_that_opens_as_a_model(tiny_model: Artifact, tiny_store: Store) -> None:
    """The tiny model knows nothing; a grammar holds each of its calls to the tools' schemas."""
    spec = settings(calculator=True, calls="auto", plan=False, budget={"steps": 2, "tokens_per_step": 600})
    made = act(spec, tiny_model, tiny_store, hush, lambda artifact: open_artifact(tiny_store, artifact))
    assert made.kind == "agent"
    [tool] = json.loads((made.folder / "agent.json").read_text(encoding="utf-8"))["tools"]
    assert (tool["name"], tool["asks_leave"]) == ("calculator", False)
    agent = open_artifact(tiny_store, made, name="desk")
    assert isinstance(agent, ChatModel)
    assert agent.name == "desk"
    [answer] = agent.answer(["What is 6 * 7?"], Sampling(max_tokens=4), hush)
    assert answer.details["ended"] in ("answer", "steps", "context")
    assert all("fault" not in step for step in answer.details["steps"])


def test_an_agent_whose_files_have_changed_is_refused(store: Store, base: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def one() -> int:\n    return 1\n", encoding="utf-8")
    made = act(settings(python=[{"file": str(file)}]), base, store, hush, scripted())
    file.write_text("def one() -> int:\n    return 2\n", encoding="utf-8")
    with pytest.raises(SpecError, match="has changed since") as caught:
        open_artifact(store, made)
    assert "make the agent anew" in caught.value.mend
    file.unlink()
    with pytest.raises(SpecError, match="no longer there"):
        open_artifact(store, made)


def test_no_secret_is_written_anywhere(store: Store, base: Artifact, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.yaml"
    secrets.write_text("key: s3cret-word\n", encoding="utf-8")
    secrets.chmod(0o600)
    with open_shop() as shop:
        document = document_of(
            shop.port,
            components={"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
            security=[{"key": []}],
        )
        api = {
            "document": write_document(tmp_path, document),
            "server": shop.url,
            "allow_private": True,
            "secrets": str(secrets),
        }
        lines = ['{"tools": ["echo"]}', '{"tool": "echo", "arguments": {}}', '{"tool": "answer"}', "Done."]
        act(settings(task="echo", apis=[api]), base, store, hush, scripted(*lines))
        assert shop.asked[0][2]["authorization"] == "Bearer s3cret-word"
    files = [path for path in store.root.rglob("*") if path.is_file()]
    assert len(files) > 4
    assert [path.name for path in files if b"s3cret-word" in path.read_bytes()] == []


@pytest.mark.parametrize(
    ("more", "what", "mend"),
    [
        ({"python": [{"file": "none.py"}]}, "there is no file 'none.py'", "a path that exists"),
        ({"calculator": True, "allow": ["pay"]}, "there is no tool 'pay'", "the tools are: calculator"),
        ({"mcp": [{}]}, "", "needs command or url"),
    ],
)
def test_wrong_tools_are_refused_before_anything_is_made(
    store: Store, base: Artifact, more: dict[str, Any], what: str, mend: str
) -> None:
    with pytest.raises((SpecError, ValueError)) as caught:
        act(settings(**more), base, store, hush, scripted())
    assert what in str(caught.value)
    assert mend in str(caught.value)
    assert [card.kind for card in store.cards()] == ["model"]


def test_two_tools_of_one_name_are_refused(store: Store, base: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text("def calculator() -> int:\n    return 1\n", encoding="utf-8")
    with pytest.raises(SpecError, match="two tools are called 'calculator'"):
        act(settings(calculator=True, python=[{"file": str(file)}]), base, store, hush, scripted())


def test_a_knowledge_base_is_a_tool(store: Store, base: Artifact) -> None:
    other = store.make(Order("model", "test", 1, {"name": "knows"}), lambda out, work: {}, hush)
    lines = [
        '{"tools": ["facts"]}',
        '{"tool": "facts", "arguments": {"question": "Where?"}}',
        '{"tool": "answer"}',
        "Paris.",
    ]
    models = {base.id: ScriptedModel(lines), other.id: ScriptedModel(["It is in Paris."])}
    spec = settings(task="Where is it?", knowledge=[{"model": other.id, "name": "facts", "about": "Knows places."}])
    made = act(spec, base, store, hush, lambda artifact: models[artifact.id])
    found = json.loads((made.folder / "transcript.json").read_text(encoding="utf-8"))
    assert (found["steps"][0]["output"], found["answer"]) == ("It is in Paris.", "Paris.")
    assert other.id in made.order.inputs.values()


def test_leave_is_asked_for_where_somebody_sits(
    monkeypatch: pytest.MonkeyPatch, store: Store, base: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    from luthier.act.calculator import calculator

    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert not ask_leave(calculator(), {"expression": "1"})
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    asked: list[str] = []

    def confirm(text: str, err: bool) -> bool:
        asked.append(text)
        return True

    monkeypatch.setattr(click, "confirm", confirm)
    assert ask_leave(calculator(), {"expression": "1"})
    assert asked == ['call calculator {"expression": "1"}?']
    made = act(settings(task="What is 6 * 7?", calculator=True), base, store, hush, scripted(*LINES))
    show_answer(made, {}, {})
    assert capsys.readouterr().out == "It is 42.\n"
