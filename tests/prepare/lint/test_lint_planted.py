"""Files with known defects, through the real command: each is found, with its exact count, and nothing else."""

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import planted
import pytest
from planted import ZH, clean, sentence, turns
from tokenizers import Tokenizer

from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.prepare.lint.table import FINDINGS
from luthier.prepare.split import fractions, key_hash

Row = dict[str, Any]
Lint = Callable[..., dict[str, Any]]


@pytest.fixture
def lint(tmp_path: Path, tiny_store: Store, tiny_model: Artifact, capsys: pytest.CaptureFixture[str]) -> Lint:
    """Give what writes rows to a file and lints it: `lint(rows, *settings)`; a text is a line as it is."""

    def run(
        rows: Sequence[Row | str], *settings: str, model: Artifact = tiny_model, project: Path = tiny_store.root
    ) -> dict[str, Any]:
        path = tmp_path / "rows.jsonl"
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        command = ["--project", str(project), "prepare", str(path), "--model", model.id, *settings]
        with pytest.raises(SystemExit) as ended:
            main([*command, "--lint", "--json", "--processes", "1"])
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert ended.value.code == any(finding["severity"] == "error" for finding in report["findings"])
        return report

    return run


def assert_found(report: Mapping[str, Any], counts: Mapping[str, int]) -> None:
    """Hold findings against what was planted: number -> count."""
    assert {finding["code"]: finding["count"] for finding in report["findings"]} == counts
    for finding in report["findings"]:
        assert finding["mend"] == FINDINGS[finding["code"]].mend
        if finding["unit"] == "rows":
            assert 1 <= len(finding["examples"]) <= 3
            assert all(re.match(r".*rows\.jsonl:\d+", place["where"]) for place in finding["examples"])


ALL_TRAIN = ("split.train=1", "split.dev=0", "split.test=0")


def test_rows_without_fault_give_no_finding_and_status_0(lint: Lint) -> None:
    report = lint(clean(300))
    assert_found(report, {})
    assert report["rows"]["read"] == 300
    assert report["not_looked_for"] == {"D309": "lint.against"}


IN_LINES = ("D102", "D103", "D104", "D105", "D106", "D107", "D108", "D109", "D111", "D112")
BROKEN: dict[str, Row | str] = {"D101": '{"messages": [', **{code: planted.BROKEN[code] for code in IN_LINES}}


def test_rows_that_cannot_be_used_are_counted_by_what_is_wrong_and_shown_with_their_line(lint: Lint) -> None:
    report = lint([*clean(300), *BROKEN.values()], *ALL_TRAIN)
    assert_found(report, dict.fromkeys(BROKEN, 1))
    lines = {code: f"rows.jsonl:{number}" for number, code in enumerate(BROKEN, 301)}
    for finding in report["findings"]:
        assert finding["severity"] == "error"
        assert finding["examples"][0]["where"].split(",")[0].endswith(lines[finding["code"]])


def test_a_file_of_bad_rows_alone_is_reported_too(lint: Lint) -> None:
    report = lint([BROKEN["D101"], BROKEN["D105"]], *ALL_TRAIN)
    assert_found(report, {"D101": 1, "D105": 1, "D401": 1})
    assert report["rows"] == {"read": 2, "train": 0, "dev": 0, "test": 0}
    assert report["lengths"]["histogram"]["edges"] == [0]


def test_what_the_settings_allow_is_a_warning(lint: Lint) -> None:
    rows = [*clean(300), BROKEN["D105"], BROKEN["D111"]]
    report = lint(rows, *ALL_TRAIN, "bad_rows=drop", "length.when_longer=drop")
    assert_found(report, {"D105": 1, "D111": 1})
    assert {finding["severity"] for finding in report["findings"]} == {"warning"}


def test_what_single_rows_teach_is_found(lint: Lint) -> None:
    chance = random.Random(1)
    repeated = f"{sentence(chance, 7).capitalize()} {sentence(chance, 2)}."
    odd = [
        turns(repeated, repeated.upper()),
        turns("Which marker stands in this answer?", "It is this one: [INST] and nothing else."),
        turns("Who wrote the book that everybody reads this year?", ZH),
        turns("Which character was lost on the way?", "The character \ufffd was lost."),
        turns("Tell me everything.", f"{sentence(chance, 300)}."),
    ]
    report = lint([*clean(300), *odd], *ALL_TRAIN, "length.when_longer=truncate")
    assert_found(report, dict.fromkeys(("D202", "D203", "D204", "D205", "D206"), 1))


def test_a_template_that_refuses_and_one_that_never_ends_are_found(lint: Lint, tmp_path: Path, store: Store) -> None:
    path = tmp_path / "endless.jinja"
    path.write_text(
        "{% for message in messages %}{% if message.role == 'system' %}{{ raise_exception('no system') }}{% endif %}"
        "{{ message.role }}:\n{{ message.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:\n{% endif %}"
    )
    model = fetch(FetchSpec(source="tiny:llama", template=str(path)), store, hush)
    refused = turns("Who are you?", "Nobody.")
    refused["messages"].insert(0, {"role": "system", "content": "Be somebody."})
    report = lint([*clean(300), refused], *ALL_TRAIN, model=model, project=store.root)
    assert_found(report, {"D110": 1, "D201": 300})


def test_what_cleaning_leaves_nothing_of_is_a_warning_and_what_it_drops_is_told(lint: Lint) -> None:
    rows = [
        *clean(300),
        turns("&nbsp;&#160;&nbsp;", "That is nothing at all."),
        turns("Is this allowed?", "Never say flibber."),
    ]
    report = lint(rows, *ALL_TRAIN, "clean.html=strip", "clean.max_characters=400")
    assert_found(report, {"D113": 1})
    rows[-1]["messages"][1]["content"] += " no" * 200
    assert_found(lint(rows, *ALL_TRAIN, "clean.html=strip", "clean.max_characters=400"), {"D113": 1, "D114": 1})


def test_pairs_whose_answers_do_not_hold_are_found(lint: Lint) -> None:
    chance = random.Random(2)
    pairs = [
        {"prompt": f"{sentence(chance, 9)}?", "chosen": sentence(chance, 8), "rejected": sentence(chance, 8)}
        for _ in range(300)
    ]
    same = {"prompt": "Which is the better answer?", "chosen": "This one.", "rejected": "This one."}
    assert_found(lint([*pairs, same], *ALL_TRAIN), {"D115": 1})


def test_text_that_the_tokenizer_splits_badly_and_a_long_tail_are_found(lint: Lint) -> None:
    chance = random.Random(3)
    chinese = [
        turns("".join(chance.sample(ZH, 12)) + "？", "".join(chance.choices(ZH, k=40)) + "。") for _ in range(40)
    ]
    assert_found(lint([*clean(300), *chinese], *ALL_TRAIN), {"D207": 40})
    short = [turns(sentence(chance, 2), sentence(chance, 1)) for _ in range(300)]
    long = [turns(sentence(chance, 6), sentence(chance, 110)) for _ in range(4)]
    assert_found(lint([*short, *long], *ALL_TRAIN), {"D208": 4})


def test_rows_that_are_alike_or_contradict_one_another_are_found(lint: Lint) -> None:
    chance = random.Random(4)
    rows = clean(300)
    long = [sentence(chance, 60) for _ in range(2)]
    again = [
        rows[7],
        turns(f"{long[0]}?", f"{long[1]}."),
        turns(f"{long[0]}?", f"{long[1]} indeed."),
        turns("Which of these is the right answer?", "The first one is right."),
        turns("which of these is the  right answer?", "Neither of them ever was."),
    ]
    report = lint([*rows, *again], *ALL_TRAIN)
    # the pair alike asks the same too, and its answers differ by a word
    assert_found(report, {"D303": 1, "D304": 1, "D306": 4})
    assert {finding["code"]: finding["severity"] for finding in report["findings"]}["D303"] == "info"
    assert_found(lint([*rows, rows[7]], *ALL_TRAIN, "clean.exact_duplicates=keep"), {"D303": 1})


def test_one_answer_too_often_and_classes_out_of_balance_are_found(lint: Lint) -> None:
    chance = random.Random(5)
    evasive = [turns(f"{sentence(chance, 9)}?", "I cannot tell you that.") for _ in range(60)]
    assert_found(lint([*clean(300), *evasive], *ALL_TRAIN), {"D307": 60})
    texts = [{"text": sentence(chance, 12), "label": ("good", "bad")[number % 2]} for number in range(300)]
    texts += [{"text": sentence(chance, 12), "label": "rare"} for _ in range(3)]
    report = lint(texts, *ALL_TRAIN, "form=classification")
    assert_found(report, {"D308": 1})
    assert report["findings"][0]["note"] == "the largest class has 150 training rows, the smallest 3"
    assert "rare" in report["findings"][0]["examples"][0]["what"]


def test_a_passage_of_an_evaluation_task_is_found_with_the_question_it_is_from(lint: Lint, tmp_path: Path) -> None:
    chance = random.Random(6)
    questions = [sentence(chance, 20) for _ in range(3)]
    against = tmp_path / "exam.jsonl"
    against.write_text("".join(json.dumps({"question": text}) + "\n" for text in questions))
    stolen = turns(f"I once heard: {' '.join(questions[1].split()[3:17])}. What of it?", "It was in an exam.")
    innocent = turns(f"I once heard: {' '.join(questions[2].split()[3:14])}. What of it?", "It was not.")
    report = lint([*clean(300), stolen, innocent], *ALL_TRAIN, f'lint.against=["{against}"]')
    assert_found(report, {"D309": 1})
    assert report["findings"][0]["examples"] == [
        {"where": f"{tmp_path}/rows.jsonl:301", "what": f"holds a passage of {against}:2"}
    ]


def test_what_stands_on_both_sides_of_the_split_is_found_unless_it_is_declared(lint: Lint) -> None:
    names = [f"group {number}" for number in range(100)]
    places = fractions(np.array([key_hash(name, 0) for name in names], np.uint64))
    known = next(name for name, place in zip(names, places, strict=True) if place < 0.8)
    unseen = next(name for name, place in zip(names, places, strict=True) if place > 0.96)
    rows = [{**row, "owner": f"owner {number}"} for number, row in enumerate(clean(400))]
    chance = random.Random(7)
    long = sentence(chance, 60)
    asked = "Does this question stand on both sides of it?"
    rows += [
        {**turns(asked, "Yes, it does, in train."), "owner": known, "tag": ""},
        {**turns(asked, "It stands in test."), "owner": unseen, "tag": ""},
        {**turns(f"{long}?", f"{long} yes."), "owner": known, "tag": ""},
        {**turns(f"{long} perhaps?", f"{long} yes."), "owner": unseen, "tag": ""},
    ]
    settings = ("split.by=group", "columns.group=owner", "columns.tag=tag", "clean.exact_duplicates=keep")
    assert_found(lint(rows, *settings), {"D301": 1, "D305": 1})
    for row in rows[-4:]:
        row["tag"] = "again"
    report = lint(rows, *settings, 'lint.recall=["again"]')
    assert_found(report, {"D302": 2})
    assert report["findings"][0]["severity"] == "info"
    held = lint(rows, *settings, 'split.hold_out={"where": {"tag": "again"}, "tag": "recall"}')
    assert {finding["code"] for finding in held["findings"]} <= {"D302"}


def test_a_split_that_holds_hardly_anything_is_found(lint: Lint) -> None:
    report = lint(clean(60), "split.train=0.9", "split.dev=0", "split.test=0.1")
    assert_found(report, {"D401": 1})


def test_every_finding_is_planted_above() -> None:
    """D199 stands for reasons that no room gives yet; the table of reasons has a test of its own."""
    above = Path(__file__).read_text(encoding="utf-8").partition("def test_every_finding_is_planted_above")[0]
    codes = set(re.findall(r'"(D\d{3})"', above))
    assert set(FINDINGS) - {"D199"} == codes


def test_shares_are_of_examples_where_a_talk_gives_several(lint: Lint, store: Store) -> None:
    model = fetch(FetchSpec(source="tiny:llama", template="qwen3"), store, hush)
    first, *others = [turns(f"{name}?", f"{name}!")["messages"] for name in ("Glue", "Wood", "Bow", "Case")]
    rows = [{"messages": [*first, *other]} for other in others]
    (again,) = [
        one for one in lint(rows, *ALL_TRAIN, model=model, project=store.root)["findings"] if one["code"] == "D303"
    ]
    assert (again["count"], again["of"]) == (2, 6)


def test_marks_of_thinking_in_a_template_are_no_fault_of_the_tokenizer(lint: Lint, store: Store) -> None:
    found = {}
    for template in ("chatml", "qwen3"):
        model = fetch(FetchSpec(source="tiny:llama", template=template), store, hush)
        talks = [
            {"messages": [*one["messages"], *other["messages"]]}
            for one, other in zip(clean(60), clean(60, 1), strict=True)
        ]
        for name, rows in (("alone", clean(300)), ("talks", talks)):
            report = lint(rows, *ALL_TRAIN, model=model, project=store.root)
            assert "D207" not in [finding["code"] for finding in report["findings"]]
            found[template, name] = report["tokens_per_character"]["other"]
    assert found["qwen3", "alone"] == pytest.approx(found["chatml", "alone"], rel=0.03)
    assert found["qwen3", "talks"] == pytest.approx(found["chatml", "talks"], rel=0.03)


def test_the_text_of_classes_is_counted_as_it_is_for_it_stands_in_no_template(lint: Lint, store: Store) -> None:
    model = fetch(FetchSpec(source="tiny:llama", template="qwen3"), store, hush)
    texts = [one["messages"][1]["content"] for one in clean(400)]
    rows = [{"text": text, "label": ("short", "long")[number % 2]} for number, text in enumerate(texts)]
    report = lint(rows, *ALL_TRAIN, model=model, project=store.root)
    tokenizer = Tokenizer.from_file(str(model.folder / "tokenizer.json"))
    ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    wanted = sum(map(len, ids)) / sum(map(len, texts))
    assert report["tokens_per_character"]["other"] == pytest.approx(wanted, abs=5e-5)
