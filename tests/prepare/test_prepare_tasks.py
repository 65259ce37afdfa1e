"""Artifacts of every task: what lies in them, and that stages that cannot use them say so."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luthier.artifact.example import Example, read_examples
from luthier.artifact.order import Order
from luthier.artifact.packs import read_packs
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import has_tokens, read_tokens
from luthier.errors import DataError, KindError, SpecError
from luthier.evaluate.choose import read_prepared
from luthier.event import hush
from luthier.model.template import Template, open_template
from luthier.prepare.run import prepare
from luthier.prepare.spec import CleanSpec, ColumnsSpec, LengthSpec, MixSpec, PackSpec, PrepareSpec, SetSpec, SplitSpec
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

TRAIN = SplitSpec(train=1, dev=0, test=0)
PAIRS = [{"prompt": f"Say {n}.", "chosen": f"{n}!", "rejected": "no " * (n + 1)} for n in range(6)]
WANTED = [{"prompt": f"Say {n}.", "completion": f"{n}!", "label": n % 2 == 0} for n in range(6)]
CHATS = [{"instruction": f"Say {n}", "output": f"{n}"} for n in range(30)]
CLASSES = [{"text": f"row {n}", "label": ("odd", "even", "none")[n % 3]} for n in range(9)]


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def template(tiny_model: Artifact) -> Template:
    return open_template(tiny_model.folder)


def write(name: str, rows: list[Any]) -> str:
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return name


def examples(made: Artifact, split: str = "train") -> list[Example]:
    return list(read_examples(made.folder, split))


def test_pairs_have_the_tokens_of_both_answers(store: Store, tiny_model: Artifact, template: Template) -> None:
    made = prepare(PrepareSpec(source=write("a.jsonl", PAIRS), split=TRAIN), tiny_model, None, store, hush)
    rows = examples(made)
    assert [row.rejected.content.count("no") for row in rows if row.rejected] == [1, 2, 3, 4, 5, 6]
    better, worse = read_tokens(made.folder, "train"), read_tokens(made.folder, "train", "rejected")
    for row, one, other in zip(rows, better, worse, strict=True):
        assert template.tokenizer.decode(one.ids[one.mask].tolist()) == f"{row.reference}<|im_end|>"
        assert row.rejected is not None
        assert template.tokenizer.decode(other.ids[other.mask].tolist()) == f"{row.rejected.content}<|im_end|>"
    figures = made.card.figures
    assert figures["task"] == "preference"
    assert figures["tokens"]["train"] == better.ends[-1] + worse.ends[-1]
    assert figures["packing"]["tokens"] == 1024, "both answers of a pair, each as long as the context"
    assert len(read_packs(made.folder, "train").order) == 6


def test_judged_answers_keep_their_judgement(store: Store, tiny_model: Artifact) -> None:
    made = prepare(PrepareSpec(source=write("a.jsonl", WANTED), split=TRAIN), tiny_model, None, store, hush)
    assert [row.desirable for row in examples(made)] == [True, False] * 3
    assert made.card.figures["task"] == "kto"
    assert not has_tokens(made.folder, "train", "rejected")


@pytest.mark.parametrize(
    ("labels", "kind", "names"),
    [
        (["odd", "even", "none"], "one", ["even", "none", "odd"]),
        ([["a", "b"], ["b"], ["c"]], "several", ["a", "b", "c"]),
        ([["Paris, France", "x"], [], ["Paris, France"]], "several", ["Paris, France", "x"]),
        ([0.5, 1.5, 2.25], "number", []),
    ],
)
def test_the_card_says_what_is_to_be_told(
    store: Store, tiny_model: Artifact, labels: list[Any], kind: str, names: list[str]
) -> None:
    rows = [{"text": f"row {n}", "label": label} for n, label in enumerate(labels * 3)]
    spec = PrepareSpec(source=write("a.jsonl", rows), split=TRAIN, form="classification")
    made = prepare(spec, tiny_model, None, store, hush)
    assert made.card.figures["labels"] == {"kind": kind, "names": names}
    assert made.card.figures["task"] == "classification"
    wanted = [tuple(label) if isinstance(label, list) else label for label in labels * 3]
    assert [row.label for row in examples(made)] == wanted


def test_texts_to_continue_are_learned_whole_and_mix_with_chats(store: Store, tiny_model: Artifact) -> None:
    write("a.jsonl", [{"text": f"Once upon a time {n}"} for n in range(4)])
    write("b.jsonl", [{"instruction": f"Say {n}", "output": f"{n}"} for n in range(4)])
    spec = PrepareSpec(sets=(SetSpec(source="a.jsonl"), SetSpec(source="b.jsonl", tag="chat")), split=TRAIN)
    made = prepare(spec, tiny_model, None, store, hush)
    rows = read_tokens(made.folder, "train")
    assert made.card.figures["task"] == "supervised"
    assert made.card.figures["examples"]["train"] == {"": 4, "chat": 4}
    assert [bool(row.mask.all()) for row in rows] == [True] * 4 + [False] * 4


@pytest.mark.parametrize("rows", [PAIRS, WANTED])
def test_tune_says_that_it_cannot_learn_from_them(rows: list[Any], store: Store, tiny_model: Artifact) -> None:
    made = prepare(PrepareSpec(source=write("a.jsonl", rows), split=TRAIN), tiny_model, None, store, hush)
    with pytest.raises(KindError) as caught:
        tune(TuneSpec(device="cpu", dtype="float32"), tiny_model, made, store, hush)
    assert caught.value.what.startswith(f"the examples {made.id} are for '")
    assert caught.value.where == "input 'data'"
    assert caught.value.mend.startswith("prepare ")


@pytest.mark.parametrize("rows", [PAIRS, WANTED, CLASSES, [{"text": "a"}]])
def test_evaluate_says_that_they_cannot_be_asked(rows: list[Any], store: Store, tiny_model: Artifact) -> None:
    made = prepare(PrepareSpec(source=write("a.jsonl", rows), split=TRAIN), tiny_model, None, store, hush)
    with pytest.raises(DataError) as caught:
        read_prepared(made.folder, "train")
    assert "only chats can be asked" in caught.value.what
    assert caught.value.where == f"{made.folder / 'train.jsonl'}:1 (from a.jsonl:1)"
    assert caught.value.mend.startswith("prepare ")


def test_weights_of_rows_come_from_a_column_and_from_a_ledger_and_stand_on_the_tokens(
    store: Store, tiny_model: Artifact
) -> None:
    rows = [{"q": f"{n}", "a": f"{n}", "w": weight} for n, weight in enumerate((1, 0.5, 1, 0, 2))]
    columns = ColumnsSpec(user="q", assistant="a", weight="w")
    plain = prepare(
        PrepareSpec(source=write("a.jsonl", rows), columns=columns, split=TRAIN), tiny_model, None, store, hush
    )
    ids = [row.id for row in examples(plain)]
    assert [row.weight for row in examples(plain)] == [1, 0.5, 1, 2]
    assert plain.card.figures["dropped"] == {"weight 0": 1}
    write("ledger.jsonl", [{"id": ids[0], "weight": 0}, {"id": ids[1], "weight": 0.5}, {"id": ids[2], "weight": 3}])
    weighed = prepare(
        PrepareSpec(source="a.jsonl", columns=columns, split=TRAIN, weights="ledger.jsonl"),
        tiny_model,
        None,
        store,
        hush,
    )
    assert [row.weight for row in examples(weighed)] == [0.25, 3, 2]
    tokens = read_tokens(weighed.folder, "train")
    assert [float(row.weight[row.mask].max()) for row in tokens if row.weight is not None] == [0.25, 3, 2]
    assert weighed.id != plain.id
    assert weighed.order.inputs["weights"].startswith("sha256:")
    write("others.jsonl", [{"id": "0123456789abcdef", "weight": 0}])
    with pytest.raises(DataError, match="none of its 1 ids is that of a row") as caught:
        prepare(
            PrepareSpec(source="a.jsonl", columns=columns, split=TRAIN, weights="others.jsonl"),
            *(tiny_model, None, store, hush),
        )
    assert caught.value.where == "key weights (others.jsonl)"


def test_the_mix_is_on_the_card_and_rows_are_repeated(store: Store, tiny_model: Artifact) -> None:
    for name, count in (("a", 8), ("b", 2)):
        write(f"{name}.jsonl", [{"instruction": f"{name} {n}", "output": f"{n}"} for n in range(count)])
    spec = PrepareSpec(
        sets=(SetSpec(source="a.jsonl", tag="a"), SetSpec(source="b.jsonl", tag="b")),
        split=TRAIN,
        mix=MixSpec(by="weight", until="all"),
    )
    made = prepare(spec, tiny_model, None, store, hush)
    assert made.card.figures["mix"] == [
        {"set": "a", "rows": 8, "taken": 8, "epochs": 1.0},
        {"set": "b", "rows": 2, "taken": 8, "epochs": 4.0},
    ]
    assert made.card.figures["examples"]["train"] == {"a": 8, "b": 8}
    assert made.card.figures["rows"] == {"read": 10, "kept": 10}
    rows = examples(made)
    assert [row.id for row in rows[8:]] == [rows[8].id] * 4 + [rows[12].id] * 4
    assert len(read_tokens(made.folder, "train")) == 16


def test_cleaning_is_counted_told_and_recorded(store: Store, tiny_model: Artifact) -> None:
    rows = [
        {"instruction": "Who wrote this?", "output": "anna@firma.de did."},
        {"instruction": "Who else?", "output": "Nobody else did."},
    ]
    spec = PrepareSpec(source=write("a.jsonl", rows), split=TRAIN, clean=CleanSpec(personal="mask"))
    made = prepare(spec, tiny_model, None, store, hush)
    assert [row.reference for row in examples(made)] == ["[email] did.", "Nobody else did."]
    assert made.card.figures["cleaned"] == {"email masked": 1}
    [line] = (made.folder / "cleaned.jsonl").read_text().splitlines()
    assert json.loads(line)["source"] == "a.jsonl:1"
    assert "anna" not in line


def test_near_duplicates_are_left_out_whatever_the_order(store: Store, tiny_model: Artifact) -> None:
    words = ("the quick brown fox jumps over the lazy dog " * 2 + "and runs far away").split()  # 22 words
    rows = [{"instruction": f"Story {n}", "output": " ".join([*words, f"end{n}"])} for n in range(3)]
    rows.append({"instruction": "Quite another question?", "output": "With another answer altogether."})
    kept = []
    for name, order in (("a.jsonl", rows), ("b.jsonl", rows[::-1])):
        spec = PrepareSpec(source=write(name, order), split=TRAIN, clean=CleanSpec(near_duplicates=0.5))
        made = prepare(spec, tiny_model, None, store, hush)
        assert made.card.figures["dropped"] == {"near duplicate": 2}
        kept.append({row.id for row in examples(made)})
    assert kept[0] == kept[1]


def test_an_example_longer_than_a_packed_row_is_named(store: Store, tiny_model: Artifact) -> None:
    write("a.jsonl", [{"instruction": "a", "output": "b"}, {"instruction": "a", "output": "b " * 40}])
    with pytest.raises(DataError) as caught:
        prepare(PrepareSpec(source="a.jsonl", split=TRAIN, pack=PackSpec(tokens=40)), tiny_model, None, store, hush)
    assert caught.value.where == "a.jsonl:2"
    assert "raise pack.tokens" in caught.value.mend
    spec = PrepareSpec(source="a.jsonl", pack=PackSpec(tokens=40), length=LengthSpec(max_tokens=50))
    with pytest.raises(SpecError) as refused:
        prepare(spec, tiny_model, None, store, hush)
    assert refused.value.where == "key pack.tokens"
    assert "lower length.max_tokens" in refused.value.mend


def test_too_few_processes_are_refused(store: Store, tiny_model: Artifact) -> None:
    with pytest.raises(SpecError) as caught:
        prepare(PrepareSpec(source="a.jsonl"), tiny_model, None, store, hush, processes=0)
    assert caught.value.what == "--processes is 0"
    assert caught.value.where == "command line"
    assert "1 or more" in caught.value.mend


def test_only_rows_that_would_be_taken_are_too_long(store: Store, tiny_model: Artifact) -> None:
    write("a.jsonl", [*CHATS, {"instruction": "Why?", "output": "because " * 600}, *CHATS[:1]])
    spec = PrepareSpec(source="a.jsonl", split=SplitSpec(train=1, dev=0, test=0, seed=0), max_train_tokens=60)
    made = prepare(spec, tiny_model, None, store, hush)
    assert 0 < made.card.figures["tokens"]["train"] <= 60
    with pytest.raises(DataError) as caught:
        prepare(PrepareSpec(source="a.jsonl", split=TRAIN), tiny_model, None, store, hush)
    assert "at most 512 fit" in caught.value.what
    assert caught.value.where == "a.jsonl:31"
    assert caught.value.mend == "set length.when_longer=drop or length.when_longer=truncate"
    shorter = PrepareSpec(source="a.jsonl", split=TRAIN, length=LengthSpec(max_tokens=100))
    with pytest.raises(DataError) as lower:
        prepare(shorter, tiny_model, None, store, hush)
    assert "raise length.max_tokens (the model takes 512)" in lower.value.mend


def test_a_rows_artifact_may_hold_several_files_of_any_format(store: Store, tiny_model: Artifact) -> None:
    def fill(out: Path, work: Path) -> dict[str, Any]:
        (out / "more").mkdir()
        (out / "a.csv").write_text("instruction,output\n1,one\n2,two\n")
        (out / "more" / "b.jsonl").write_text(json.dumps({"instruction": "3", "output": "three"}) + "\n")
        return {}

    rows = store.make(Order("rows", "fetch", 1, {}), fill, hush)
    made = prepare(PrepareSpec(split=TRAIN), tiny_model, rows, store, hush)
    assert [row.source for row in examples(made)] == [
        f"{rows.id}/a.csv:2",
        f"{rows.id}/a.csv:3",
        f"{rows.id}/more/b.jsonl:1",
    ]
    assert np.all(read_tokens(made.folder, "train").lengths > 0)
