"""A stage's command: settings from words and files, inputs by id or the newest, the id on stdout."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from luthier.artifact.order import Kind, Order
from luthier.artifact.store import Artifact, Store
from luthier.cli.fields import field_lines
from luthier.cli.main import main
from luthier.cli.stage import _inputs
from luthier.cli.telling import telling
from luthier.errors import Stopped
from luthier.event import Chose, Event, Failed, Started, from_json, hush
from luthier.recipe.stages import STAGES

Caught = pytest.CaptureFixture[str]


def made(store: Store, kind: Kind, inputs: Mapping[str, str] | None = None, number: int = 1) -> Artifact:
    return store.make(Order(kind, "test", 1, {"number": number}, inputs or {}), lambda out, work: {}, hush)


def refused(capsys: Caught, *words: str, status: int = 1) -> list[str]:
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    assert caught.value.code == status
    said = capsys.readouterr()
    assert said.out == ""
    return [line for line in said.err.splitlines() if line.startswith(("error:", "  where:", "  mend:"))]


@pytest.fixture
def project(store: Store) -> str:
    return str(store.root)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    lines = [{"instruction": f"What is {number}?", "input": "", "output": f"{number}."} for number in range(30)]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", STAGES)
def test_the_help_shows_every_setting_with_its_default(name: str, capsys: Caught) -> None:
    main([name, "--help"])
    said = capsys.readouterr().out
    lines = field_lines(STAGES[name].spec_class())
    assert lines
    words = said.split()
    for setting, about in lines:
        assert setting.split()[0] in words
        assert about.split()[0] in words
    for role in STAGES[name].takes:
        assert f"--{role} ID" in said


def test_tune_help_shows_the_learning_rate() -> None:
    assert ("learn.rate=0.0003", "Peak learning rate, per optimizer step.") in field_lines(STAGES["tune"].spec_class())


def test_words_and_a_file_give_the_artifact_the_python_function_gives(
    project: str, tmp_path: Path, capsys: Caught, tiny_model: Artifact
) -> None:
    file = tmp_path / "fetch.yaml"
    file.write_text("source: nothing\n", encoding="utf-8")
    main(["--project", project, "fetch", "tiny:llama", "--spec", str(file)])
    assert capsys.readouterr().out == f"{tiny_model.id}\n"


def test_inputs_are_the_newest_unless_named_and_the_choice_is_told(
    tiny_store: Store, tiny_model: Artifact, rows: Path, capsys: Caught
) -> None:
    project = str(tiny_store.root)
    main(["--project", project, "prepare", str(rows)])
    newest = capsys.readouterr()
    assert f"model: {tiny_model.id} (the newest model here; --model ID takes another)" in newest.err
    main(["--project", project, "prepare", f"source={rows}", "--model", tiny_model.id])
    named = capsys.readouterr()
    assert named.out == newest.out
    assert "the newest" not in named.err


def test_several_bare_words_are_a_list(
    tiny_store: Store, tiny_model: Artifact, rows: Path, tmp_path: Path, capsys: Caught
) -> None:
    other = tmp_path / "more, rows.jsonl"
    other.write_text(rows.read_text(encoding="utf-8").replace("What is", "And"), encoding="utf-8")
    main(["--project", str(tiny_store.root), "prepare", str(rows), str(other), "--model", tiny_model.id])
    card = tiny_store.find(capsys.readouterr().out.strip(), "examples").card
    assert card.spec["source"] == [str(rows), str(other)]


def test_several_sets_need_no_rows_that_were_fetched(
    tiny_store: Store, tiny_model: Artifact, rows: Path, capsys: Caught
) -> None:
    sets = f"sets=[{{source: {rows}, tag: one}}]"
    main(["--project", str(tiny_store.root), "prepare", sets, "--model", tiny_model.id])
    card = tiny_store.find(capsys.readouterr().out.strip(), "examples").card
    assert card.inputs["model"] == tiny_model.id
    assert sum(card.figures["examples"]["train"].values()) > 0


@pytest.mark.parametrize("tail", ["#sha256=0", "?version=2"])
def test_an_address_with_an_equals_sign_is_no_setting(tail: str, project: str, capsys: Caught) -> None:
    error, where, _ = refused(capsys, "--project", project, "fetch", f"https://example.org/rows.zip{tail}")
    assert "unknown key" not in error
    assert where == "  where: fetch, key source"


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("dataset:./none?split=train", "there is no data set './none': "),
        ("part/lang=en/rows.jsonl", "there is no file 'part/lang=en/rows.jsonl'"),
    ],
)
def test_the_name_of_a_data_set_and_a_path_with_an_equals_sign_are_no_settings(
    source: str, what: str, tiny_store: Store, tiny_model: Artifact, capsys: Caught
) -> None:
    project = ["--project", str(tiny_store.root)]
    error, _, _ = refused(capsys, *project, "prepare", source, "--model", tiny_model.id)
    assert error.startswith(f"error: {what}")
    error, _, _ = refused(capsys, *project, "prepare", "a.csv", "wheree.a:b/c=1", "--model", tiny_model.id)
    assert error == "error: unknown key 'wheree'"


def test_a_stage_of_one_source_refuses_two(project: str, capsys: Caught) -> None:
    error, where, mend = refused(capsys, "--project", project, "fetch", "a", "b")
    assert error == "error: source is ['a', 'b']"
    assert where == '  where: command line \'source=["a", "b"]\', key source'
    assert mend == "  mend:  it should be a valid string"


def test_examples_are_looked_at_after_they_are_prepared_and_later(
    tiny_store: Store, tiny_model: Artifact, rows: Path, capsys: Caught
) -> None:
    project = str(tiny_store.root)
    main(["--project", project, "prepare", str(rows), "--model", tiny_model.id, "--look", "1"])
    first = capsys.readouterr().out
    assert "What is" in first
    assert tiny_store.find(first.split()[-1], "examples").exists
    main(["--project", project, "prepare", "--look", "1"])
    assert "<|im_start|>" in capsys.readouterr().out


@pytest.mark.parametrize("count", ["-1", "0"])
@pytest.mark.parametrize("more", [[], ["rows.csv"], ["--look-html", "look.html"]], ids=["alone", "rows", "page"])
def test_fewer_than_one_example_cannot_be_looked_at(project: str, capsys: Caught, count: str, more: list[str]) -> None:
    assert refused(capsys, "--project", project, "prepare", *more, "--look", count) == [
        f"error: {count} examples cannot be shown",
        "  where: --look",
        "  mend:  give a number from 1 on: --look 3",
    ]


def test_nothing_to_look_at_is_told(project: str, capsys: Caught) -> None:
    assert refused(capsys, "--project", project, "prepare", "--look", "1") == [
        "error: nothing is prepared yet",
        f"  where: {project}",
        "  mend:  luthier prepare FILE --look 3",
    ]


def test_a_missing_input_names_the_option(project: str, capsys: Caught) -> None:
    assert refused(capsys, "--project", project, "tune") == [
        f"error: nothing of the kind 'examples' is in {project}",
        "  where: --data",
        "  mend:  make one first, or give --data ID",
    ]


def test_an_input_of_another_kind_is_refused(store: Store, capsys: Caught) -> None:
    model = made(store, "model")
    error, _, mend = refused(capsys, "--project", str(store.root), "tune", "--data", model.id)
    assert error == f"error: {model.id} is of the kind 'model', not 'examples'"
    assert mend == "  mend:  give an id that begins with examples- (luthier list --kind examples)"


def test_a_bare_word_where_no_setting_comes_first_is_refused(project: str, capsys: Caught) -> None:
    assert refused(capsys, "--project", project, "tune", "rate") == [
        "error: 'rate' is not key=value",
        "  where: command line",
        "  mend:  write for instance seed=1",
    ]


def test_an_unknown_setting_names_the_nearest_and_makes_no_project(store: Store, capsys: Caught) -> None:
    assert refused(capsys, "--project", str(store.root), "tune", "learn.rte=1") == [
        "error: unknown key 'learn.rte'",
        "  where: command line 'learn.rte=1', key learn.rte",
        "  mend:  did you mean 'rate'?",
    ]
    assert not store.root.exists()


def test_resume_and_fresh_exclude_each_other(store: Store, capsys: Caught) -> None:
    model = made(store, "model")
    made(store, "examples", {"model": model.id})
    error, where, mend = refused(capsys, "--project", str(store.root), "tune", "--resume", "--fresh")
    assert (error, where) == ("error: --resume and --fresh exclude each other", "  where: command line")
    assert mend == "  mend:  leave one out"


@pytest.mark.parametrize(("option", "mend"), [("--compare", "leave one out"), ("--dtype=float32", "leave --dtype out")])
def test_chat_refuses_what_cannot_reach_a_server(option: str, mend: str, project: str, capsys: Caught) -> None:
    error, where, found = refused(capsys, "--project", project, "chat", "--url", "http://127.0.0.1:9", option, "hi")
    assert option.partition("=")[0] in error
    assert where == "  where: command line"
    assert mend in found


def test_what_a_run_tells_is_kept_and_ends_with_its_error(store: Store, capsys: Caught) -> None:
    model = made(store, "model")
    other = made(store, "model", number=2)
    made(store, "examples", {"model": other.id})
    refused(capsys, "--project", str(store.root), "tune", "--model", model.id)
    logs = list((store.root / "runs").glob("*-tune/events.jsonl"))
    assert len(logs) == 1
    events = [from_json(line) for line in logs[0].read_text(encoding="utf-8").splitlines()]
    assert isinstance(events[0], Chose)
    assert isinstance(events[-1], Failed)
    assert events[-1].mend
    assert not [event for event in events if isinstance(event, Started)]


def test_a_disk_too_full_for_the_log_is_told(store: Store, capsys: Caught, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    error, where, mend = refused(capsys, "--project", str(store.root), "fetch", "tiny:llama")
    assert error == "error: the disk is full: No space left on device"
    assert where.endswith("events.jsonl")
    assert "luthier remove ID" in mend


def test_a_project_that_is_a_file_is_refused(capsys: Caught, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.touch()
    error, where, mend = refused(capsys, "--project", str(path), "fetch", "tiny:llama")
    assert error == "error: nothing can be written into the project folder: Not a directory"
    assert where == f"  where: {path}"
    assert mend == "  mend:  name a folder of your own: luthier --project FOLDER ..."


def test_ctrl_c_says_how_to_go_on_and_is_kept(store: Store) -> None:
    with pytest.raises(Stopped) as caught, telling(store, "fetch"):
        raise KeyboardInterrupt
    assert caught.value.where == str(store.root.absolute())
    assert caught.value.mend == "run the same command again: it goes on from there"
    (log,) = (store.root / "runs").glob("*-fetch/events.jsonl")
    assert isinstance(from_json(log.read_text(encoding="utf-8")), Failed)


def test_a_spec_file_that_is_missing_is_told(project: str, capsys: Caught, tmp_path: Path) -> None:
    error, _, mend = refused(capsys, "--project", project, "tune", "--spec", str(tmp_path / "tune.yaml"))
    assert error == f"error: there is no file {str(tmp_path / 'tune.yaml')!r}"
    assert mend == "  mend:  give the path of a YAML file that exists"


def test_what_is_not_named_is_what_the_newest_was_made_from(store: Store) -> None:
    old, _ = made(store, "model", number=1), made(store, "rows")
    data = made(store, "examples", {"model": old.id})
    adapter = made(store, "adapter", {"model": old.id, "data": data.id})
    made(store, "model", number=2)
    told: list[Event] = []
    needed = {role: STAGES["evaluate"].takes[role] for role in ("base", "tuned", "data")}
    found = _inputs(store, needed, dict.fromkeys(needed), told.append)
    assert {role: artifact.id for role, artifact in found.items()} == {
        "base": old.id,
        "tuned": adapter.id,
        "data": data.id,
    }
    reasons = {event.what: event.why for event in told if isinstance(event, Chose)}
    assert reasons["base"] == f"{adapter.id} was made from it; --base ID takes another"
    assert reasons["tuned"].startswith("the newest adapter here")


def test_a_tuned_model_is_not_what_a_knowledge_base_was_made_from(store: Store) -> None:
    base = made(store, "model")
    data = made(store, "examples", {"model": base.id})
    adapter = made(store, "adapter", {"model": base.id, "data": data.id})
    knowledge = made(store, "answer", {"index": made(store, "index").id})
    needed = STAGES["compare"].takes
    chosen = {role: needed[role] for role in ("base", "tuned", "data", "knowledge")}
    use = {**dict.fromkeys(chosen), "knowledge": knowledge.id}
    found = _inputs(store, chosen, use, hush)
    assert {role: artifact.id for role, artifact in found.items()} == {
        "base": base.id,
        "tuned": adapter.id,
        "data": data.id,
        "knowledge": knowledge.id,
    }


def test_a_stage_alone_checks_memory_before_it_begins(
    tiny_store: Store, tiny_data: Artifact, capsys: Caught, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("luthier.model.machine.free_memory_bytes", lambda: 1_000_000)
    before = [card.id for card in tiny_store.cards()]
    words = ("tune", "--data", tiny_data.id, "device=cpu", "dtype=float32", "seed=77")
    error, where, mend = refused(capsys, "--project", str(tiny_store.root), *words)[-3:]
    assert "needs about" in error
    assert where == "  where: this machine"
    assert "take a smaller model" in mend  # a megabyte is too little for any settings
    assert [card.id for card in tiny_store.cards()] == before
