"""A whole recipe on the tiny model: planned without making anything, made once, never twice."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pytest

from luthier.artifact.released import current
from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, KindError, LuthierError, RoomError
from luthier.event import Event, Made, Skipped, hush
from luthier.fetch.spec import FetchSpec
from luthier.model import machine
from luthier.recipe.call import call_stage
from luthier.recipe.check import check
from luthier.recipe.load import Recipe, load_recipe
from luthier.recipe.run import run
from luthier.recipe.stages import STAGES

TEXT = """\
fetch: {source: "tiny:llama"}
prepare: {source: ROWS, split: {train: 0.6, dev: 0.2, test: 0.2}}
tune: {learn: {epochs: 0.3, rows_per_step: 4}, device: cpu, dtype: float32}
evaluate: {bootstrap: 100, limit: 2}
release: {gate: [perplexity.after <= 9 * perplexity.before]}
"""
STEPS = ["fetch", "prepare", "tune", "evaluate", "release"]
KINDS = ["model", "examples", "adapter", "scores", "release"]


class Ran(NamedTuple):
    """A recipe that was planned, then run."""

    recipe: Recipe
    store: Store
    planned: list[str]
    made: dict[str, Artifact]
    told: list[Event]


def written(folder: Path, text: str = TEXT) -> Path:
    rows = folder / "rows.jsonl"
    lines = [{"instruction": f"What is {number}?", "input": "", "output": f"{number}."} for number in range(40)]
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    path = folder / "recipe.yaml"
    path.write_text(text.replace("ROWS", str(rows)), encoding="utf-8")
    return path


def tree(folder: Path) -> Mapping[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in sorted(folder.rglob("*"))}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Plan and run the whole recipe, once for all tests here."""
    folder = tmp_path_factory.mktemp("recipe")
    recipe = load_recipe(written(folder))
    store = Store(folder / ".luthier")
    planned = check(recipe, store)
    assert not store.root.exists()
    assert not any(step.artifact.exists for step in planned)
    told: list[Event] = []
    made = run(recipe, store, told.append)
    return Ran(recipe, store, [step.artifact.id for step in planned], made, told)


def test_every_step_makes_an_artifact_of_its_kind(ran: Ran) -> None:
    assert list(ran.made) == STEPS
    assert [artifact.kind for artifact in ran.made.values()] == KINDS
    assert [event.stage for event in ran.told if isinstance(event, Made)] == STEPS
    for artifact in ran.made.values():
        ran.store.verify(artifact)
    assert current(ran.store) == ran.made["release"].id


def test_a_plan_knows_every_id_before_anything_is_made(ran: Ran) -> None:
    assert ran.planned == [artifact.id for artifact in ran.made.values()]


def test_the_cards_lead_from_the_release_down_to_the_raw_rows(ran: Ran) -> None:
    made = ran.made
    assert made["release"].card.inputs == {"tuned": made["tune"].id, "scores": made["evaluate"].id}
    assert made["tune"].card.inputs == {"model": made["fetch"].id, "data": made["prepare"].id}
    rows = hashlib.sha256((ran.recipe.path.parent / "rows.jsonl").read_bytes()).hexdigest()
    assert f"sha256:{rows}" in made["prepare"].card.inputs.values()


def test_a_second_run_makes_nothing(ran: Ran, told: list[Event]) -> None:
    before = tree(ran.store.artifacts)
    again = run(load_recipe(ran.recipe.path), ran.store, told.append)
    assert again == ran.made
    assert [event.stage for event in told if isinstance(event, Skipped)] == STEPS
    assert not [event for event in told if isinstance(event, Made)]
    assert tree(ran.store.artifacts) == before
    assert not [path for path in ran.store.work.iterdir() if path.is_dir()]


def test_a_changed_setting_makes_anew_only_what_hangs_on_it(ran: Ran) -> None:
    plan = check(load_recipe(ran.recipe.path, ["evaluate.seed=1"]), ran.store)
    assert [step.artifact.exists for step in plan] == [True, True, True, False, False]
    plan = check(load_recipe(ran.recipe.path, ["tune.learn.rate=1e-3"]), ran.store)
    assert [step.artifact.exists for step in plan] == [True, True, False, False, False]


def test_a_stage_called_by_itself_gives_the_recipes_artifact(ran: Ran) -> None:
    spec = FetchSpec(source="tiny:llama")
    assert call_stage(STAGES["fetch"], spec, {}, ran.store, hush) == ran.made["fetch"]


def test_a_knowledge_base_is_made_asked_and_released_and_never_twice(tmp_path: Path, told: list[Event]) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "boat.txt").write_text("The boat Aurora is red.", encoding="utf-8")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"question": "Which colour has the boat Aurora?", "answer": "red"}), encoding="utf-8")
    task = tmp_path / "task.yaml"
    text = 'title: Colours\nprompt: "{{ question }}"\nreference: "{{ answer }}"\nmetrics: [exact_match]\n'
    task.write_text(f"{text}rows: rows.jsonl\n", encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"""\
index: {{source: {tmp_path / "docs"}, name: sea, embedder: none}}
evaluate: {{task: {task}, alone: true, bootstrap: 100, use: {{model: index}}}}
release: {{gate: [exact_match.after >= 0], use: {{tuned: index}}}}
""",
        encoding="utf-8",
    )
    store = Store(tmp_path / ".luthier")
    first = run(load_recipe(path), store, told.append)
    assert [event.stage for event in told if isinstance(event, Made)] == ["index", "evaluate", "release"]
    assert first["release"].card.inputs == {"tuned": first["index"].id, "scores": first["evaluate"].id}
    told.clear()
    assert run(load_recipe(path), store, told.append) == first
    assert [event.stage for event in told if isinstance(event, Skipped)] == ["index", "evaluate", "release"]
    assert not [event for event in told if isinstance(event, Made)]


def test_a_check_finds_a_missing_file_and_makes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, TEXT.replace("ROWS", "ROWS.gone"))
    store = Store(tmp_path / ".luthier")
    with pytest.raises(LuthierError, match=r"rows\.jsonl\.gone") as caught:
        run(load_recipe(path), store, hush)
    assert isinstance(caught.value, DataError)
    assert caught.value.mend
    assert not store.root.exists()


def test_a_check_finds_kinds_that_do_not_fit_and_makes_nothing(tmp_path: Path) -> None:
    text = TEXT.replace("tune: {", "tune: {use: {data: fetch}, ")
    store = Store(tmp_path / ".luthier")
    with pytest.raises(KindError) as caught:
        run(load_recipe(written(tmp_path, text)), store, hush)
    assert caught.value.what == "data is 'fetch', of the kind 'model', not 'examples'"
    assert caught.value.where == f"{tmp_path / 'recipe.yaml'}:3, key tune"
    assert caught.value.mend.startswith("name a step or an artifact of the kind examples: examples-")
    assert not store.root.exists()


def test_a_check_finds_a_disk_too_small_and_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Small(NamedTuple):
        total: int = 10
        used: int = 10
        free: int = 5

    monkeypatch.setattr(shutil, "disk_usage", lambda place: Small())
    store = Store(tmp_path / ".luthier")
    with pytest.raises(RoomError, match=r"the step 'fetch' needs .* of disk, 0\.0 MB are free") as caught:
        run(load_recipe(written(tmp_path)), store, hush)
    assert caught.value.where == str(store.root)
    assert caught.value.mend.startswith("free some room (luthier list")
    assert not store.root.exists()


def test_a_check_finds_memory_too_small_before_it_trains(ran: Ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 100_000_000)
    anew = load_recipe(ran.recipe.path, ["tune.seed=9"])
    with pytest.raises(RoomError, match=r"the step 'tune' needs about .* of memory, 0\.1 GB are free") as caught:
        check(anew, ran.store)
    assert caught.value.where == "this machine"
    assert caught.value.mend.startswith("stop other programs, or take a smaller model")
    check(ran.recipe, ran.store)  # what is made already needs no memory


def test_memory_is_checked_again_once_the_model_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: list[Event]
) -> None:
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 100_000_000)
    store = Store(tmp_path / ".luthier")
    recipe = load_recipe(written(tmp_path))
    check(recipe, store)  # the model's shapes are not known yet
    with pytest.raises(RoomError, match="the step 'tune'"):
        run(recipe, store, told.append)
    assert [event.stage for event in told if isinstance(event, Made)] == ["fetch", "prepare"]
