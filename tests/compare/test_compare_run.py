"""Comparisons: who is asked what, who wins, and what is written down."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from compare_models import Bench, bench, knows, learns_from_examples, mumbles
from fake_chat import FakeModel, made

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.compare.line_up import line_up
from luthier.compare.run import compare
from luthier.compare.spec import CompareSpec, SearchSpec
from luthier.engine.prompted import read_prompt
from luthier.errors import DataError, SpecError, Stopped, StoreError
from luthier.event import Chose, Event, Judged, Said, Skipped, Tell, hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec

QUICK = CompareSpec(bootstrap=500, search=SearchSpec(shots=(0, 3), rows=4), rows_per_batch=8)


def ran(found: Bench, spec: CompareSpec = QUICK, tell: Tell = hush, **more: Artifact) -> Artifact:
    roles = {"knowledge": None, "tuned_knowledge": None, **more}
    tuned = found.tuned if spec.tuned else None
    return compare(
        spec, found.base, tuned, found.data, roles["knowledge"], roles["tuned_knowledge"], found.store, tell,
        found.open_model,
    )  # fmt: skip


def table(made: Artifact) -> dict[str, Mapping[str, Any]]:
    return {one["way"]: one for one in made.card.figures["candidates"]}


def test_a_prompt_that_does_as_well_as_tuning_is_found_and_told(store: Store, told: list[Event]) -> None:
    made = ran(bench(store, learns_from_examples, knows), tell=told.append)
    found = table(made)
    assert list(found) == ["base", "prompt", "tuned"]
    assert [one["metrics"]["rouge_l"]["after"] for one in found.values()] == [0, 1, 1]
    assert [one["passed"] for one in found.values()] == [False, True, True]
    assert found["prompt"]["name"].startswith("prompt-")
    chosen = made.card.figures["chosen"]
    assert chosen in (found["prompt"]["name"], found["tuned"]["name"])
    assert [event.value for event in told if isinstance(event, Chose) and event.what == "prompt"] == [
        "no instruction, 3 examples"
    ]
    judged = [event.passed for event in told if isinstance(event, Judged)]
    assert judged == [False, True, True]


def test_a_candidate_that_was_altered_on_disk_is_not_asked(store: Store) -> None:
    def fill(out: Path) -> None:
        (out / "weights").write_text("as made")

    found = bench(store, mumbles, knows)
    altered = made(store, "model", "altered", {}, fill, "fetch")
    (altered.folder / "weights").write_text("altered")
    with pytest.raises(StoreError, match=r"weights of .* differs from its checksum"):
        ran(found, knowledge=altered)
    assert altered.id not in found.opened


def test_the_cheapest_that_passes_is_taken_by_the_time_its_making_and_its_answers_take(store: Store) -> None:
    found = bench(store, learns_from_examples, knows)
    slow = QUICK.model_copy(update={"answers": 1})
    made = ran(found, slow)
    ways = table(made)
    # with one answer to spread it over, the search for the prompt counts whole; the fake adapter took no tuning
    assert ways["prompt"]["costs"]["made_seconds"] > 0
    assert ways["tuned"]["costs"]["made_seconds"] == 0
    assert made.card.figures["chosen"] == found.tuned.id
    assert made.card.figures["verdict"][0] == "Fine-tuning is the cheapest way, not the only one."
    assert made.card.figures["verdict"][2].startswith("Without tuning, the base behind the prompt ")


def test_where_only_tuning_helps_tuning_is_advised(store: Store, told: list[Event]) -> None:
    found = bench(store, mumbles, knows)
    made = ran(found, tell=told.append)
    words = made.card.figures["verdict"]
    assert words[0] == "Fine-tuning is what it takes."
    assert words[1].startswith("Take the tuned model: the only one that passes the gate, of 3 candidates. ROUGE-L F1 1")
    assert words == [event.text for event in told if isinstance(event, Said)]


def test_where_nothing_passes_it_says_so_and_what_the_best_misses(store: Store) -> None:
    words = ran(bench(store, mumbles, mumbles)).card.figures["verdict"]
    assert words[0].startswith("Nothing passes the gate. The best is the base")
    assert "rouge_l.gain.low > 0 (0 > 0" in words[1]


def test_a_base_that_is_good_enough_is_kept(store: Store) -> None:
    spec = QUICK.model_copy(update={"gate": ("rouge_l.after >= 0.9",), "search": SearchSpec(shots=())})
    made = ran(bench(store, knows, knows), spec)
    assert list(table(made)) == ["base", "tuned"]
    assert table(made)["base"]["passed"]


def test_a_knowledge_base_and_others_are_candidates(store: Store) -> None:
    found = bench(store, mumbles, mumbles)
    answers = made(store, "release", "kb", {}, lambda out: None)
    other = made(store, "model", "other", {}, lambda out: None)
    found.models |= {answers.id: FakeModel(hear=knows)}
    found.models |= {other.id: FakeModel(hear=mumbles)}
    spec = QUICK.model_copy(update={"also": (other.id,), "search": SearchSpec(shots=()), "tuned": False})
    done = ran(found, spec, knowledge=answers)
    assert [one["label"] for one in done.card.figures["candidates"]] == [
        "the base", "the base with a knowledge base", other.id
    ]  # fmt: skip
    assert done.card.figures["verdict"][0] == "A knowledge base will do: no tuning is needed."
    assert done.card.inputs["also_1"] == other.id


def test_a_knowledge_base_that_changes_while_it_is_asked_ends_the_comparison(store: Store, tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for name in ("boat", "ship"):
        (tmp_path / "docs" / f"{name}.txt").write_text(f"The {name} is red.", encoding="utf-8")
    spec = IndexSpec(source=str(tmp_path / "docs"), name="sea", embedder="none")
    sea = index(spec, None, store, hush)
    found = bench(store, mumbles, mumbles)

    def hear(messages: tuple[Message, ...]) -> str:
        if len(found.models[sea.id].batches) == 2:
            delete_documents(store.root, "sea", [str(tmp_path / "docs" / "ship.txt")], hush)
        return "red"

    found.models[sea.id] = FakeModel(hear=hear)
    with pytest.raises(StoreError, match="the knowledge base 'sea' changed while it was asked") as caught:
        ran(found, knowledge=sea)
    assert caught.value.where == str(store.root / "knowledge" / "sea")
    [kept] = store.work.glob("comparison-*/2.jsonl")
    assert len(kept.read_text(encoding="utf-8").splitlines()) == 1  # the batch before it changed


def test_a_comparison_leaves_the_order_of_its_prompt_as_it_was_made(store: Store, tmp_path: Path) -> None:
    (tmp_path / "boat.txt").write_text("The boat is red.", encoding="utf-8")
    sea = index(IndexSpec(source=str(tmp_path / "boat.txt"), name="sea", embedder="none"), None, store, hush)
    found = bench(store, mumbles, mumbles)
    found.models[sea.id] = FakeModel(hear=mumbles)
    seen: list[Artifact] = []

    def open_model(artifact: Artifact) -> Any:
        seen.append(artifact)
        return found.open_model(artifact)

    compare(QUICK, found.base, found.tuned, found.data, sea, None, store, hush, open_model)
    [prompt] = [artifact for artifact in seen if artifact.kind == "prompt"]
    assert prompt.order.id == prompt.id


def test_a_knowledge_base_is_called_by_who_writes_its_answers(store: Store) -> None:
    found = bench(store, mumbles, mumbles)
    stranger = made(store, "model", "stranger", {}, lambda out: None)
    writers = {"base": found.base.id, "tuned": found.tuned.id, "stranger": stranger.id}
    bases = {
        name: made(store, "answer", name, {"generator": writer}, lambda out: None) for name, writer in writers.items()
    } | {"nobody": made(store, "answer", "nobody", {}, lambda out: None)}
    given = {"base": found.base, "tuned": found.tuned}
    called = {}
    for name, knowledge in bases.items():
        *_, one = line_up(QUICK, given | {"knowledge": knowledge}, store, found.open_model)[:2]
        called[name] = (one.way, one.label)
    assert called == {
        "base": ("knowledge", "the base with a knowledge base"),
        "tuned": ("both", "the tuned model with a knowledge base"),
        "stranger": ("other", f"{stranger.id} with a knowledge base"),
        "nobody": ("knowledge", "a knowledge base alone, which quotes"),
    }


def test_only_rows_without_a_tag_are_asked_and_every_candidate_the_same(store: Store) -> None:
    found = bench(store, mumbles, knows)
    made = ran(found)
    lines = [json.loads(line) for line in (made.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 40
    assert {line["id"] for line in lines} == {f"id{number:03}" for number in range(40)}
    for line in lines:
        assert line["answers"] == ["well, who knows", "well, who knows", line["reference"]]
        assert line["figures"] == [0, 0, 1]


def test_examples_shown_are_training_rows_and_never_those_asked(store: Store) -> None:
    found = bench(store, learns_from_examples, knows)
    ran(found)
    [prompt] = [card for card in store.cards() if card.kind == "prompt"]
    template = read_prompt(store.find(prompt.id).folder)
    assert len(template.shots) == 3
    assert {int(asked.removeprefix("question ")) for asked, _ in template.shots} <= set(range(200, 210))
    assert prompt.figures["tried"]["no instruction, 3 examples"] == 1
    assert prompt.figures["tried"]["brief"] == 0


def test_a_second_comparison_makes_and_asks_nothing(store: Store, told: list[Event]) -> None:
    found = bench(store, mumbles, knows)
    first = ran(found)
    found.opened.clear()
    assert ran(found, tell=told.append).id == first.id
    assert found.opened == []
    assert len([event for event in told if isinstance(event, Skipped)]) == 2


def test_another_gate_asks_everybody_again_but_looks_for_no_prompt(store: Store) -> None:
    found = bench(store, mumbles, knows)
    ran(found)
    found.opened.clear()
    ran(found, QUICK.model_copy(update={"gate": ("rouge_l.after > 0.5",)}))
    assert [name.partition("-")[0] for name in found.opened] == ["model", "prompt", "adapter"]


def test_a_comparison_that_is_stopped_goes_on_where_it_was(store: Store) -> None:
    found = bench(store, mumbles, knows)
    straight = ran(bench(Store(store.root.parent / "other"), mumbles, knows))

    def stop(event: Event) -> None:
        if "ask the tuned model 19" in f"ask the tuned model {getattr(event, 'done', '')}" and "tuned" in str(event):
            raise Stopped("stopped", where="here", mend="go on")

    with pytest.raises(Stopped):
        ran(found, tell=stop)
    asked = {name: sum(model.batches) for name, model in found.models.items()}
    made = ran(found)
    assert asked[found.tuned.id] == 19
    assert sum(found.models[found.tuned.id].batches) == 40
    assert sum(found.models[found.base.id].batches) == asked[found.base.id]
    name = "answers.jsonl"
    assert (made.folder / name).read_bytes() == (straight.folder / name).read_bytes()


def test_models_give_back_what_they_hold(store: Store) -> None:
    found = bench(store, mumbles, knows)
    ran(found)
    # the base: after the search, after itself, behind the prompt
    assert (found.models[found.base.id].closed, found.models[found.tuned.id].closed) == (3, 1)


@pytest.mark.parametrize(
    ("change", "where", "mend"),
    [
        ({"metrics": ("rouge_k",)}, "key compare.metrics", "did you mean"),
        ({"metrics": ("perplexity",)}, "key compare.metrics", "known here"),
        ({"gate": ("bleu.after > 3",)}, "key compare.gate", "add it to metrics"),
    ],
)
def test_a_metric_that_cannot_be_taken_is_refused_before_anybody_is_asked(
    change: dict[str, Any], where: str, mend: str, store: Store
) -> None:
    found = bench(store, mumbles, knows)
    with pytest.raises(SpecError) as caught:
        ran(found, QUICK.model_copy(update=change))
    assert caught.value.where == where
    assert mend in caught.value.mend
    assert found.opened == []


def test_rows_without_an_answer_to_be_held_against_are_told(store: Store) -> None:
    with pytest.raises(DataError) as caught:
        ran(bench(store, mumbles, knows, count=0))
    assert "the test split has no chat without a tag" in caught.value.what
    assert "a larger share for test" in caught.value.mend


def test_a_dry_store_plans_the_id(store: Store) -> None:
    found = bench(store, mumbles, knows)
    dry = Bench(Store(store.root, dry=True), found.base, found.tuned, found.data, found.models)
    planned = ran(dry)
    assert not planned.exists
    assert ran(found).id == planned.id
