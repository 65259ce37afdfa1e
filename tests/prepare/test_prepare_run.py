"""The stage as a whole, on the tiny model."""

import json
import random
import shutil
from pathlib import Path
from typing import Any, Literal

import pytest

from luthier.artifact.example import SPLITS, Example, read_examples
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import read_tokens
from luthier.errors import DataError, KindError, LuthierError, ModelError, SpecError
from luthier.event import Chose, Counted, Event, Skipped, Warned, hush
from luthier.model.template import open_template
from luthier.prepare.run import prepare
from luthier.prepare.spec import ColumnsSpec, HoldOutSpec, LengthSpec, LimitSpec, PrepareSpec, SplitSpec

THIRDS = SplitSpec(train=0.5, dev=0.25, test=0.25)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, rows: list[Any]) -> str:
    Path(name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return name


def alpaca(count: int, begin: int = 0) -> list[dict[str, str]]:
    return [{"instruction": f"What is {n}?", "output": f"It is {n}, 是."} for n in range(begin, begin + count)]


def model_like(tiny_model: Artifact, folder: Path) -> Artifact:
    shutil.copytree(tiny_model.folder, folder)
    return Artifact(f"model-{folder.name}", folder, Order("model", "fetch", 1, {}))


def splits(artifact: Artifact) -> dict[str, list[Example]]:
    return {name: list(read_examples(artifact.folder, name)) for name in SPLITS}


def test_files_become_three_splits_of_examples_and_their_tokens(
    store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    source = write("rows.jsonl", [*alpaca(60), *alpaca(2)])
    made = prepare(PrepareSpec(source=source, split=THIRDS), tiny_model, None, store, told.append)
    template = open_template(tiny_model.folder)
    found = splits(made)
    assert made.kind == "examples"
    assert sorted(example.source for examples in found.values() for example in examples) == sorted(
        f"rows.jsonl:{line}" for line in range(1, 61)
    )
    for name, examples in found.items():
        assert len(examples) > 5
        assert [int(example.source.partition(":")[2]) for example in examples] == sorted(
            int(example.source.partition(":")[2]) for example in examples
        )
        for example, tokens in zip(examples, read_tokens(made.folder, name), strict=True):
            wanted = template.render(example.messages)
            assert tokens.ids.tolist() == wanted.ids.tolist()
            assert tokens.mask.tolist() == wanted.mask.tolist()
    figures = made.card.figures
    assert figures["rows"] == {"read": 62, "kept": 60}
    assert figures["dropped"] == {"duplicate": 2}
    assert figures["examples"] == {name: {"": len(examples)} for name, examples in found.items()}
    for name in SPLITS:
        rows = read_tokens(made.folder, name)
        assert figures["tokens"][name] == sum(len(row.ids) for row in rows)
        assert figures["supervised"][name] == sum(row.supervised for row in rows)
        assert figures["lengths"][name]["p100"] == max(len(row.ids) for row in rows)
    assert figures["max_tokens"] == 512
    assert figures["template_sha256"] == template.sha256
    assert figures["sources"][0]["path"] == "rows.jsonl"
    assert figures["sources"][0]["rows"] == 62
    assert Counted("rows", {"read": 62, "kept": 60, "duplicate": 2}) in told
    assert Counted("examples", {name: len(examples) for name, examples in found.items()}) in told
    assert Chose("form", "alpaca", "rows.jsonl has instruction and output") in told
    assert Chose("length.max_tokens", "512", "the model's context") in told


def test_a_second_run_makes_nothing_and_the_same_wish_elsewhere_gives_the_same_bytes(
    tmp_path: Path, store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    spec = PrepareSpec(source=write("rows.jsonl", alpaca(40)), split=THIRDS)
    first = prepare(spec, tiny_model, None, store, hush)
    again = prepare(spec, tiny_model, None, store, told.append)
    assert again.id == first.id
    assert [type(event) for event in told] == [Skipped]
    elsewhere = prepare(spec, tiny_model, None, Store(tmp_path / "other"), hush)
    assert elsewhere.id == first.id
    assert elsewhere.card.files == first.card.files
    beside = {"train.packs.safetensors", "lint.json", "lengths.png"}
    assert first.card.files.keys() == {f"{name}{end}" for name in SPLITS for end in (".jsonl", ".safetensors")} | beside


def test_other_bytes_in_the_file_give_another_id(store: Store, tiny_model: Artifact) -> None:
    spec = PrepareSpec(source=write("rows.jsonl", alpaca(40)))
    first = prepare(spec, tiny_model, None, store, hush)
    write("rows.jsonl", alpaca(41))
    second = prepare(spec, tiny_model, None, store, hush)
    assert second.id != first.id
    assert first.order.inputs["model"] == tiny_model.id
    assert first.order.inputs["source[0]"].startswith("sha256:")


def test_a_row_stays_in_its_split_when_rows_are_added_and_files_change_places(
    store: Store, tiny_model: Artifact
) -> None:
    rows = alpaca(90)
    before = prepare(PrepareSpec(source=write("a.jsonl", rows[:40]), split=THIRDS), tiny_model, None, store, hush)
    random.Random(0).shuffle(rows)
    files = (write("c.jsonl", rows[:50]), write("b.jsonl", rows[50:]))
    after = prepare(PrepareSpec(source=files, split=THIRDS), tiny_model, None, store, hush)
    place = {example.id: name for name, examples in splits(after).items() for example in examples}
    assert len(place) == 90
    moved = [example for name, examples in splits(before).items() for example in examples if place[example.id] != name]
    assert not moved


def test_rows_come_from_a_rows_artifact_and_say_so(store: Store, tiny_model: Artifact) -> None:
    def fill(out: Path, work: Path) -> dict[str, Any]:
        shutil.copy(write("rows.jsonl", alpaca(30)), out / "rows.jsonl")
        return {}

    rows = store.make(Order("rows", "fetch", 1, {}), fill, hush)
    made = prepare(PrepareSpec(split=THIRDS), tiny_model, rows, store, hush)
    assert made.order.inputs == {"model": tiny_model.id, "rows": rows.id}
    sources = {example.source for examples in splits(made).values() for example in examples}
    assert sources == {f"{rows.id}/rows.jsonl:{line}" for line in range(1, 31)}
    with pytest.raises(SpecError) as caught:
        prepare(PrepareSpec(source="rows.jsonl"), tiny_model, rows, store, hush)
    assert caught.value.what == f"rows come from {rows.id} and from source=rows.jsonl"
    assert caught.value.where == "key source"
    assert caught.value.mend == "leave out one of the two"
    with pytest.raises(KindError) as wrong:
        prepare(PrepareSpec(), tiny_model, tiny_model, store, hush)
    assert wrong.value.where == "input 'rows'"
    assert wrong.value.mend == "give an id that begins with rows-"
    with pytest.raises(KindError):
        prepare(PrepareSpec(), rows, rows, store, hush)


def test_no_rows_at_all_say_what_to_set(store: Store, tiny_model: Artifact) -> None:
    with pytest.raises(SpecError) as caught:
        prepare(PrepareSpec(), tiny_model, None, store, hush)
    assert caught.value.what == "no rows are given"
    assert caught.value.where == "key source"
    assert caught.value.mend == "set source=FILE, or fetch rows before"


def test_a_dry_store_names_what_would_be_made_without_reading_its_inputs(tmp_path: Path) -> None:
    dry = Store(tmp_path / "dry", dry=True)
    nowhere = Artifact("model-x", tmp_path / "nowhere", Order("model", "fetch", 1, {}))
    rows = Artifact("rows-x", tmp_path / "nowhere", Order("rows", "fetch", 1, {}))
    assert not prepare(PrepareSpec(), nowhere, rows, dry, hush).exists
    assert not (tmp_path / "dry").exists()


def test_the_test_split_holds_unseen_groups_and_reworded_questions_about_seen_ones(
    store: Store, tiny_model: Artifact
) -> None:
    rows = [
        {"q": f"{phrasing} {n}?", "a": f"{n}", "name": f"f{n}", "phrasing": phrasing}
        for n in range(80)
        for phrasing in ("what is", "describe", "reworded")
    ]
    spec = PrepareSpec(
        source=write("rows.jsonl", rows),
        columns=ColumnsSpec(user="q", assistant="a", group="name"),
        split=SplitSpec(
            train=0.5, dev=0.1, test=0.4, by="group", hold_out=HoldOutSpec(where={"phrasing": "reworded"}, tag="recall")
        ),
        limit=LimitSpec(test=15),
        max_train_tokens=1_200,
    )
    made = prepare(spec, tiny_model, None, store, hush)
    found = splits(made)
    trained = {example.group for example in found["train"]}
    unseen = [example for example in found["test"] if example.tag == ""]
    recall = [example for example in found["test"] if example.tag == "recall"]
    assert len(unseen) == len(recall) == 15
    assert not trained & {example.group for example in (*unseen, *found["dev"])}
    assert {example.group for example in recall} <= trained
    assert all(example.messages[0].content.startswith("reworded") for example in recall)
    assert not any(example.messages[0].content.startswith("reworded") for example in found["train"] + unseen)
    figures = made.card.figures
    assert figures["examples"]["test"] == {"": 15, "recall": 15}
    assert 1_100 < figures["tokens"]["train"] <= 1_200
    assert figures["dropped"]["held out, its group is not trained on"] > 0
    assert sum(figures["dropped"].values()) + figures["rows"]["kept"] == figures["rows"]["read"] == 240


def test_a_budget_of_tokens_keeps_what_a_smaller_one_kept(store: Store, tiny_model: Artifact) -> None:
    source = write("rows.jsonl", alpaca(120))
    trained = []
    for budget in (500, 1_000):
        spec = PrepareSpec(source=source, split=THIRDS, max_train_tokens=budget)
        trained.append({example.id for example in splits(prepare(spec, tiny_model, None, store, hush))["train"]})
    assert 0 < len(trained[0]) < len(trained[1])
    assert trained[0] < trained[1]


def test_nothing_left_in_train_is_an_error_and_nothing_is_lost(store: Store, tiny_model: Artifact) -> None:
    source = write("rows.jsonl", alpaca(8))
    spec = PrepareSpec(source=source, max_train_tokens=1)
    with pytest.raises(DataError) as caught:
        prepare(spec, tiny_model, None, store, hush)
    assert caught.value.what.startswith("no example is left in train (8 rows read; ")
    assert "over max_train_tokens" in caught.value.what
    assert caught.value.where == "rows.jsonl"
    assert "raise split.train or max_train_tokens" in caught.value.mend
    assert store.cards() == []
    assert prepare(PrepareSpec(source=source), tiny_model, None, store, hush).exists


def test_an_evaluation_set_may_do_without_train_but_not_without_all(store: Store, tiny_model: Artifact) -> None:
    split = SplitSpec(train=0, dev=0, test=1)
    spec = PrepareSpec(source=write("rows.jsonl", alpaca(5)), split=split)
    assert len(splits(prepare(spec, tiny_model, None, store, hush))["test"]) == 5
    short = PrepareSpec(source=spec.source, split=split, length=LengthSpec(max_tokens=3, when_longer="drop"))
    with pytest.raises(DataError) as caught:
        prepare(short, tiny_model, None, store, hush)
    assert caught.value.what == "no example is left in any split (5 rows read; 5 too long)"
    assert caught.value.where == "rows.jsonl"
    assert "loosen where and length" in caught.value.mend


@pytest.mark.parametrize(("when_longer", "counts"), [("drop", {"too long": 1}), ("truncate", {"truncated": 1})])
def test_what_is_too_long_is_counted_and_told(
    store: Store,
    tiny_model: Artifact,
    told: list[Event],
    when_longer: Literal["drop", "truncate"],
    counts: dict[str, int],
) -> None:
    rows = [*alpaca(9), {"instruction": "Why?", "output": "because " * 100}]
    length = LengthSpec(max_tokens=60, when_longer=when_longer)
    spec = PrepareSpec(source=write("rows.jsonl", rows), split=SplitSpec(train=1, dev=0, test=0), length=length)
    made = prepare(spec, tiny_model, None, store, told.append)
    kept = 9 if when_longer == "drop" else 10
    assert Counted("rows", {"read": 10, "kept": kept, **counts}) in told
    assert made.card.figures["truncated"] == counts.get("truncated", 0)
    lengths = [len(tokens.ids) for tokens in read_tokens(made.folder, "train")]
    assert len(lengths) == kept
    assert (max(lengths) == 60) == (when_longer == "truncate")


def test_an_empty_dev_split_is_warned_of(store: Store, tiny_model: Artifact, told: list[Event]) -> None:
    split = SplitSpec(train=0.999, dev=0.001, test=0)
    prepare(PrepareSpec(source=write("rows.jsonl", alpaca(5)), split=split), tiny_model, None, store, told.append)
    warned = [event for event in told if isinstance(event, Warned)]
    assert [event.what for event in warned] == ["no example fell into dev (5 rows read; none dropped)"]
    assert warned[0].mend == "give more rows, or raise split.dev"


def test_a_template_that_does_not_end_answers_is_warned_of(
    tmp_path: Path, store: Store, tiny_model: Artifact, told: list[Event]
) -> None:
    model = model_like(tiny_model, tmp_path / "endless")
    (model.folder / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.role + ':\\n' + m.content + '\\n\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:\\n' }}{% endif %}"
    )
    prepare(PrepareSpec(source=write("rows.jsonl", alpaca(20))), model, None, store, told.append)
    warned = [event for event in told if isinstance(event, Warned) and "stop token" in event.what]
    assert [event.what.partition(":")[0] for event in warned] == ["20 of 20 examples end without a stop token"]


def test_a_whole_chat_template_warns_of_nothing(store: Store, tiny_model: Artifact, told: list[Event]) -> None:
    prepare(PrepareSpec(source=write("rows.jsonl", alpaca(60)), split=THIRDS), tiny_model, None, store, told.append)
    assert not [event for event in told if isinstance(event, Warned)]


def test_a_row_that_the_template_refuses_names_the_row_and_the_template(
    tmp_path: Path, store: Store, tiny_model: Artifact
) -> None:
    model = model_like(tiny_model, tmp_path / "strict")
    whole = (model.folder / "chat_template.jinja").read_text()
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system here') }}{% endif %}"
    (model.folder / "chat_template.jinja").write_text(refusal + whole)
    rows: list[Any] = [*alpaca(9), {"instruction": "x", "output": "y", "system": "be kind"}]
    source = write("rows.jsonl", rows)
    everything = SplitSpec(train=1, dev=0, test=0)
    with pytest.raises(DataError) as caught:
        prepare(PrepareSpec(source=source, split=everything), model, None, store, hush)
    assert "no system here" in caught.value.what
    assert caught.value.where == f"rows.jsonl:10 ({model.folder})"
    assert caught.value.mend.endswith("or set bad_rows=drop")
    made = prepare(PrepareSpec(source=source, split=everything, bad_rows="drop"), model, None, store, hush)
    assert made.card.figures["dropped"] == {"refused by the chat template": 1}


@pytest.mark.parametrize(
    ("gone", "what", "mend"),
    [
        (("tokenizer.json",), "the model folder has no tokenizer", "put tokenizer.json"),
        (("chat_template.jinja",), "the tokenizer has no chat template", "template=chatml"),
    ],
)
def test_a_model_without_tokenizer_or_template_is_refused(
    tmp_path: Path, store: Store, tiny_model: Artifact, gone: tuple[str, ...], what: str, mend: str
) -> None:
    model = model_like(tiny_model, tmp_path / "broken")
    for name in gone:
        (model.folder / name).unlink()
    with pytest.raises(ModelError) as caught:
        prepare(PrepareSpec(source=write("rows.jsonl", alpaca(9))), model, None, store, hush)
    assert caught.value.what == what
    assert caught.value.where == str(model.folder)
    assert mend in caught.value.mend
    assert store.cards() == []


def test_every_error_reads_as_three_lines(store: Store, tiny_model: Artifact) -> None:
    with pytest.raises(LuthierError) as caught:
        prepare(PrepareSpec(source="gone.jsonl"), tiny_model, None, store, hush)
    lines = str(caught.value).splitlines()
    assert len(lines) == 3
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["where", "mend"]


@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 2])
def test_every_row_of_many_batches_is_read(processes: int, tiny_model: Artifact, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    path.write_text("".join(f'{{"instruction": "q{n}", "output": "a"}}\n' for n in range(6001)), encoding="utf-8")
    made = prepare(PrepareSpec(source=str(path)), tiny_model, None, store, hush, processes=processes)
    assert made.card.figures["rows"] == {"read": 6001, "kept": 6001}


def test_a_column_that_no_row_has_is_warned_of_and_named(store: Store, tiny_model: Artifact, told: list[Event]) -> None:
    rows = [{**row, "task": "one"} for row in alpaca(30)]
    spec = PrepareSpec(source=write("rows.jsonl", rows), columns=ColumnsSpec(tag="taks", system="task"))
    prepare(spec, tiny_model, None, store, told.append)
    assert [event for event in told if isinstance(event, Warned) and "column" in event.what] == [
        Warned("no row of rows.jsonl has the column 'taks'", "name one of: 'task', 'output', 'instruction'")
    ]
