"""The stage, and what its artifacts open to: with a real knowledge base, searched by words."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_index import Scripted

from luthier.answer.run import answer
from luthier.answer.spec import AnswerSpec
from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import ChatModel, Sampling
from luthier.errors import DataError, LuthierError, SpecError, StoreError
from luthier.event import Event, Said, Skipped, hush
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.recipe.openers import open_named
from luthier.retrieve.opening import open_index

FACTS = {
    "bridge.md": "# Bridges\n\nThe red bridge was built in 1901. It has 12 arches.\n",
    "lease.txt": "租赁期限不得超过二十年。超过二十年的，超过部分无效。",
    "cats.txt": "Cats sleep sixteen hours a day.",
    "dogs.txt": "Dogs bark at strangers in the night.",
    "rivers.txt": "The Nile flows north into the Mediterranean Sea.",
    "stars.txt": "Sirius is the brightest star of the night sky.",
}
ASKED = {
    "When was the red bridge built?": "bridge.md",
    "租赁期限不得超过多少年？": "lease.txt",
    "How many hours a day do cats sleep?": "cats.txt",
    "At whom do dogs bark in the night?": "dogs.txt",
    "Into which sea does the Nile flow?": "rivers.txt",
}

BOTH = "When was the red bridge built, and how many arches has it?"


def add(store: Store, folder: Path, texts: dict[str, str]) -> Artifact:
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    return index(IndexSpec(source=str(folder), name="facts", embedder="none"), None, store, hush)


@pytest.fixture
def facts(store: Store, tmp_path: Path) -> Artifact:
    return add(store, tmp_path / "docs", FACTS)


def no_model(artifact: Artifact) -> ChatModel:
    raise AssertionError("nothing is to be opened")


def made(store: Store, base: Artifact, tell: Callable[[Event], None] = hush, **settings: Any) -> Artifact:
    return answer(AnswerSpec(**settings), base, None, store, tell, no_model)


def rows(artifact: Artifact, name: str = "answers.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (artifact.folder / name).read_text(encoding="utf-8").splitlines()]


def test_a_question_is_answered_with_a_source_that_can_be_checked(store: Store, facts: Artifact) -> None:
    found = made(store, facts, question="When was the red bridge built?")
    [row] = rows(found)
    assert row["answer"].startswith("The red bridge was built in 1901. [1]")
    [source] = [source for source in row["sources"] if source["number"] == 1]
    assert source["document"].endswith("bridge.md")
    quote = source["quotes"][0]
    assert open_index(facts.folder).document(source["document"]).text[slice(*quote["span"])] == quote["text"]
    assert found.card.figures["questions"] == 1
    assert found.card.figures["abstained"] == 0


def test_every_answer_leaves_a_trace(store: Store, facts: Artifact) -> None:
    [trace] = rows(made(store, facts, question="When was the red bridge built?"), "traces.jsonl")
    assert trace["question"] == "When was the red bridge built?"
    steps = [step["step"] for step in trace["steps"]]
    assert steps == ["query", "search", "confidence", "check", "answer"]
    assert trace["totals"]["searches"] == 1


def test_the_same_question_is_answered_once_and_anew_after_a_change(
    store: Store, facts: Artifact, tmp_path: Path, told: list[Event]
) -> None:
    first = made(store, facts, question="When was the red bridge built?")
    assert made(store, facts, told.append, question="When was the red bridge built?") == first
    assert [type(event) for event in told] == [Skipped]
    changed = add(store, tmp_path / "docs", {"bridge.md": "The red bridge was built in 1888. It has 12 arches.\n"})
    [row] = rows(made(store, changed, question="When was the red bridge built?"))
    assert "1888" in row["answer"]
    assert "1901" not in json.dumps(row)


def test_a_row_of_questions_and_answers_is_told_whole(store: Store, tmp_path: Path) -> None:
    lines = [{"q": "退货期限是多少天？", "a": "三十天。", "meta": {"year": 2024}}, {"q": "保修多久？", "a": "两年。"}]
    (tmp_path / "faq.jsonl").write_text("\n".join(json.dumps(line, ensure_ascii=False) for line in lines))
    faq = index(IndexSpec(source=str(tmp_path / "faq.jsonl"), embedder="none"), None, store, hush)
    [row] = rows(made(store, faq, question="退货期限是多少天？", search={"where": {"meta.year": 2024}}))
    assert row["answer"] == "q: 退货期限是多少天？ a: 三十天。 meta.year: 2024 [1]"
    assert row["sentences"][0]["carried"]
    (tmp_path / "long.jsonl").write_text(json.dumps({"q": "谁住在这里？他好吗？", "a": "王五。他很好。", "number": 47}))
    long = index(IndexSpec(source=str(tmp_path / "long.jsonl"), name="long", embedder="none"), None, store, hush)
    [row] = rows(made(store, long, question="number 47 住着谁？", sentences=1))
    assert row["answer"] == "a: 王五。他很好。 number: 47 [1]"
    (tmp_path / "four.jsonl").write_text(json.dumps({"Q": "Who lives here?", "A": "Wang. Always.", "Number": 47}))
    four = index(IndexSpec(source=str(tmp_path / "four.jsonl"), name="four", embedder="none"), None, store, hush)
    [row] = rows(made(store, four, question="Who lives at number 47?"))
    # of four sentences none is told twice
    assert row["answer"] == "Q: Who lives here? A: Wang. [1]\nAlways. Number: 47 [1]"


def test_a_file_of_questions_is_answered_line_by_line(store: Store, facts: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "asked.txt"
    path.write_text("\n".join([*ASKED, "Who won the cup of Brazil?"]) + "\n", encoding="utf-8")
    found = made(store, facts, question=str(path))
    answers = rows(found)
    assert [row["question"] for row in answers] == [*ASKED, "Who won the cup of Brazil?"]
    for row, document in zip(answers, ASKED.values(), strict=False):
        assert row["sources"][0]["document"].endswith(document), row
    assert answers[-1]["answer"] == "This is not in the documents."
    assert found.card.figures["abstained"] == 1


def test_a_threshold_is_found_and_served_with(store: Store, facts: Artifact, tmp_path: Path, told: list[Event]) -> None:
    path = tmp_path / "tune.jsonl"
    [label] = {str(Path(name).parent) for name in open_index(facts.folder).labels()}
    asked = [{"question": question, "documents": [f"{label}/{name}"]} for question, name in ASKED.items()]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in asked), encoding="utf-8")
    found = made(store, facts, told.append, tune=str(path))
    calibration = json.loads((found.folder / "calibration.json").read_text(encoding="utf-8"))
    assert (calibration["answerable"], calibration["unanswerable"]) == (5, 5)
    assert 0 < calibration["threshold"] < 1
    assert calibration["balanced_accuracy"] == 1.0
    assert any(isinstance(event, Said) and event.text.startswith("threshold ") for event in told)
    opened = open_named(store, found.id)
    [said] = opened.answer(["When was the red bridge built?"], Sampling(), hush)
    assert said.details["threshold"] == calibration["threshold"]


def test_earlier_answers_are_asked_again_with_other_settings(store: Store, facts: Artifact) -> None:
    first = made(store, facts, question=BOTH, sentences=2)
    again = made(store, facts, replay=first.id, sentences=1)
    assert [row["question"] for row in rows(again)] == [BOTH]
    assert (len(rows(first)[0]["sentences"]), len(rows(again)[0]["sentences"])) == (2, 1)


def test_what_a_generator_said_to_the_same_prompt_is_not_asked_again(
    store: Store, facts: Artifact, tiny_store: Store, tiny_model: Artifact
) -> None:
    writer = Scripted(lambda heard: "The red bridge was built in 1901.")
    spec = AnswerSpec(question="When was the red bridge built?")
    first = answer(spec, facts, tiny_model, store, hush, lambda artifact: writer)
    heard = len(writer.heard)
    answer(AnswerSpec(replay=first.id, uncarried="drop"), facts, tiny_model, store, hush, lambda artifact: writer)
    assert len(writer.heard) == heard == 1


@pytest.mark.parametrize("name", ["kb:facts", "index", "answer"])
def test_it_opens_as_a_chat_model_by_name_and_by_id_and_keeps_traces(store: Store, facts: Artifact, name: str) -> None:
    ids = {"index": facts.id, "answer": made(store, facts).id}
    model = open_named(store, ids.get(name, name))
    assert isinstance(model, ChatModel)
    [said] = model.answer([(Message("user", "How long do cats sleep a day?"),)], Sampling(), hush)
    assert said.text == "Cats sleep sixteen hours a day. [1]"
    [path] = (store.root / "traces").glob("*.jsonl")
    assert json.loads(path.read_text(encoding="utf-8"))["steps"][-1]["text"] == said.text


def test_a_deleted_document_is_not_found_by_an_opened_base(store: Store, facts: Artifact, tmp_path: Path) -> None:
    model = open_named(store, "kb:facts")
    [before] = model.answer(["How long do cats sleep a day?"], Sampling(), hush)
    (tmp_path / "docs" / "cats.txt").unlink()
    add(store, tmp_path / "docs", {})
    [after] = model.answer(["How long do cats sleep a day?"], Sampling(), hush)
    assert "sixteen" in before.text
    assert "sixteen" not in json.dumps(dict(after.details)) + after.text


@pytest.mark.parametrize(
    ("settings", "kind", "what", "where"),
    [
        ({"question": "missing.jsonl"}, SpecError, "there is no file 'missing.jsonl'", "key question"),
        ({"tune": "missing.jsonl"}, SpecError, "there is no file 'missing.jsonl'", "key tune"),
        ({"replay": "answer-000"}, StoreError, "0 artifacts are called 'answer-000'", ""),
        (
            {"question": "q" * 9000},
            DataError,
            "the question has 9000 characters, at most 8000 are read",
            "the question",
        ),
        ({"question": "x", "synthesis": "tree"}, SpecError, "synthesis=tree needs a generator", "key synthesis"),
        (
            {"question": "x", "rerank": "cross"},
            SpecError,
            "rerank is 'cross', and no cross-encoder is given",
            "key reranker",
        ),
        ({"question": "x", "search": {"way": "dense"}}, SpecError, "the knowledge base 'facts' was made without", ""),
    ],
)
def test_what_cannot_be_asked_is_refused(
    store: Store, facts: Artifact, settings: dict[str, Any], kind: type[LuthierError], what: str, where: str
) -> None:
    with pytest.raises(kind) as caught:
        made(store, facts, **settings)
    assert caught.value.what.startswith(what)
    assert where in caught.value.where
    assert caught.value.mend


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "the line is not JSON"),
        ('{"frage": "?"}', "the line holds no question"),
        ('{"question": "?", "labels": []}', "unknown key 'labels'"),
        ('{"question": "?", "history": ["hi"]}', "history is ['hi']"),
        ("", "the file holds no question"),
    ],
)
def test_a_line_that_is_no_question_is_named(
    store: Store, facts: Artifact, tmp_path: Path, line: str, what: str
) -> None:
    path = tmp_path / "asked.jsonl"
    path.write_text('{"question": "fine?"}\n' * bool(line) + line + "\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        made(store, facts, question=str(path))
    assert caught.value.what.startswith(what)
    assert caught.value.where == (f"{path}:2" if line else str(path))
    assert caught.value.mend


def test_a_base_that_is_gone_is_named(store: Store, facts: Artifact) -> None:
    import shutil

    shutil.rmtree(store.root / "knowledge" / "facts")
    with pytest.raises(StoreError) as caught:
        open_named(store, facts.id)
    assert "is gone" in caught.value.what
    assert "luthier index" in caught.value.mend


def test_several_bases_answer_as_one_and_the_trace_says_which_was_asked(store: Store, tmp_path: Path) -> None:
    for name, text in {"birds": "Owls hunt at night.", "shop": "Goods may be returned within 30 days."}.items():
        (tmp_path / f"{name}.txt").write_text(text)
        about = f"what is said of {name}"
        index(
            IndexSpec(source=str(tmp_path / f"{name}.txt"), name=name, about=about, embedder="none"), None, store, hush
        )
    spec = AnswerSpec(question="When do owls, the birds, hunt?", bases=("birds", "shop"))
    found = answer(spec, None, None, store, hush, no_model)
    [row] = rows(found)
    assert row["answer"] == "Owls hunt at night. [1]"
    assert row["sources"][0]["base"] == "birds"
    [search] = [step for step in rows(found, "traces.jsonl")[0]["steps"] if step["step"] == "search"]
    assert search["base"] == "birds+shop"
    assert list(search["routes"]) == ["birds"]
    [said] = open_named(store, "kb:shop+birds").answer(["When do owls, the birds, hunt?"], Sampling(), hush)
    assert said.text == "Owls hunt at night. [1]"
    kept = answer(AnswerSpec(bases=("birds", "shop")), None, None, store, hush, no_model)
    [again] = open_named(store, kept.id).answer(
        ["Within how many days may goods of the shop be returned?"], Sampling(), hush
    )
    assert "30 days" in again.text


def test_bases_and_an_index_exclude_each_other_and_one_must_be_given(store: Store, facts: Artifact) -> None:
    for base, bases in ((facts, ("facts",)), (None, ())):
        with pytest.raises(SpecError, match="given") as caught:
            answer(AnswerSpec(question="When?", bases=bases), base, None, store, hush, no_model)
        assert caught.value.where == "key bases"
        assert "--index" in caught.value.mend


@pytest.mark.parametrize(
    ("name", "what", "mend"),
    [
        ("nowhere", "'nowhere' is no knowledge base", "there are: facts"),
        ("kb:facts", "'kb:facts' is no knowledge base", "bases=facts"),
        ("fact", "'fact' is no knowledge base", "bases=facts"),
        ("index-", "tells of the knowledge base 'facts'", "bases=facts, or --index index-"),
    ],
)
def test_a_base_that_is_none_is_named_with_what_was_meant(
    store: Store, facts: Artifact, name: str, what: str, mend: str
) -> None:
    given = facts.id if name == "index-" else name
    with pytest.raises(SpecError, match=what) as caught:
        answer(AnswerSpec(question="When?", bases=(given, "facts")), None, None, store, hush, no_model)
    assert caught.value.where == "key bases"
    assert caught.value.mend.startswith(mend)


def test_where_the_base_an_artifact_tells_of_is_gone_it_is_not_offered(
    store: Store, facts: Artifact, tmp_path: Path
) -> None:
    knowledge = store.root / "knowledge"
    for left, mend in (("fact", "bases=fact"), ("birds", "there are: birds")):
        for folder in knowledge.iterdir():
            folder.rename(knowledge / left)
        with pytest.raises(SpecError, match="tells of the knowledge base 'facts'") as caught:
            answer(AnswerSpec(question="When?", bases=(facts.id, left)), None, None, store, hush, no_model)
        assert caught.value.where == "key bases"
        assert caught.value.mend == mend
