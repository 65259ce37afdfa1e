"""Tasks of lm-eval: what it is told, and what is made of what it tells."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fake_chat import made
from fake_models import bench, example

from luthier import sidecar
from luthier.artifact.store import Store
from luthier.errors import DataError, ServeError, SpecError, StoreError, ToolError
from luthier.evaluate import lm_eval
from luthier.evaluate.files import peer_files
from luthier.evaluate.lm_eval import arguments, measure_lm_eval, tokenizer_of
from luthier.evaluate.run import evaluate
from luthier.evaluate.served import served
from luthier.evaluate.spec import EvaluateSpec
from luthier.evaluate.told import Told, read_told
from luthier.event import Event, Warned, hush
from luthier.index.care import delete_documents
from luthier.index.run import index
from luthier.index.spec import IndexSpec
from luthier.measure.metric import Outcome
from luthier.retrieve.state import living

TOLD = Path(__file__).parent / "lm_eval_told"
"""Written by lm-eval 0.4.13: three rows of a choice and three of a question, by the tiny model behind our server."""


def told_files(name: str) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    results = json.loads((TOLD / f"{name}.json").read_text(encoding="utf-8"))
    lines = (TOLD / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    return results, {name: [json.loads(line) for line in lines]}


def test_rows_of_a_choice_become_questions_with_the_likeliest_option_for_an_answer() -> None:
    results, samples = told_files("capitals")
    told = read_told(results, samples, hush)
    assert list(told.metrics) == ["acc", "acc_norm"]
    first = told.questions["capitals:0"]
    assert first.shown.endswith("Question: What is the capital of France?\nAnswer:")
    assert (first.reference, first.tag) == ("Paris", "heldout")
    for line in samples["capitals"]:
        scores = [float(said[0]) for said in line["filtered_resps"]]
        options = [part["arg_1"].strip() for part in line["arguments"].values()]
        reply = told.replies[f"capitals:{line['doc_id']}"]
        assert reply.text == options[scores.index(max(scores))]
        assert reply.details["lm-eval"]["acc"] == line["acc"] == float(reply.text == line["doc"]["options"][0])
    metric = told.metrics["acc"]
    outcome = Outcome([], [], None, None, details=[reply.details for reply in told.replies.values()])  # type: ignore[arg-type]
    figure = float(metric.figure(metric.statistics(outcome).sum(axis=0)))
    assert figure == pytest.approx(results["results"]["capitals"]["acc,none"])
    assert (metric.label, metric.higher_is_better) == ("acc (lm-eval)", True)


def test_figures_of_several_filters_stay_apart_and_what_is_no_mean_is_told(told: list[Event]) -> None:
    results, samples = told_files("sums")
    found = read_told(results, samples, told.append)
    assert list(found.metrics) == ["exact_match_strict", "exact_match_loose"]
    assert found.metrics["exact_match_loose"].label == "exact_match (lm-eval, loose)"
    warned = [event for event in told if isinstance(event, Warned)]
    assert [event.what.partition(" is ")[0] for event in warned] == ["sums: bleu,strict", "sums: bleu,loose"]
    assert {event.mend for event in warned} == {"see lm_eval.json"}
    assert list(found.results) == ["results", "higher_is_better", "versions", "n-shot", "n-samples"]


def test_no_row_is_an_error() -> None:
    with pytest.raises(DataError) as caught:
        read_told({"results": {"capitals": {}}}, {}, hush)
    assert (caught.value.what, caught.value.where) == ("lm-eval told of no row", "capitals")
    assert caught.value.mend == "ask more of the task's rows"


@pytest.mark.parametrize(
    ("more", "tokenizer", "wanted", "unwanted"),
    [
        (
            {},
            "folder",
            ["local-completions", "tokenizer=folder", "--batch_size 16"],
            ["--apply_chat_template", "--limit"],
        ),
        ({"chat": True}, "folder", ["local-chat-completions", "--apply_chat_template"], ["tokenizer=folder"]),
        ({"limit": 7, "shots": 0}, "", ["local-chat-completions", "--limit 7", "--num_fewshot 0"], []),
    ],
)
def test_it_is_told_what_to_ask(
    more: dict[str, Any], tokenizer: str, wanted: Sequence[str], unwanted: Sequence[str], tmp_path: Path
) -> None:
    spec = EvaluateSpec(task="lm_eval:hellaswag", seed=5, **more)
    said = " ".join(arguments(spec, "http://127.0.0.1:9/v1", "m", tokenizer, tmp_path))
    assert all(part in said for part in [*wanted, "--tasks hellaswag", "--seed 5", f"--use_cache {tmp_path / 'kept'}"])
    assert not any(part in said for part in unwanted)


def test_an_adapters_tokens_are_its_bases(store: Store) -> None:
    def fill(out: Path) -> None:
        (out / "tokenizer_config.json").write_text("{}", encoding="utf-8")

    base = made(store, "model", "base", {}, fill)
    adapter = made(store, "adapter", "tuned", {"model": base.id}, lambda out: None)
    answers = made(store, "answer", "kb", {"generator": base.id}, lambda out: None)
    assert tokenizer_of(adapter, store) == tokenizer_of(base, store) == str(base.folder.absolute())
    assert tokenizer_of(answers, store) == ""


def test_the_local_rows_of_its_task_are_part_of_the_order(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text("{}\n", encoding="utf-8")
    task = tmp_path / "task.yaml"
    task.write_text(
        f"dataset_kwargs: {{data_files: {{test: [{tmp_path}/rows.jsonl, no-such-file]}}}}", encoding="utf-8"
    )
    first = peer_files(task)
    assert list(first) == ["test.0"]
    (tmp_path / "rows.jsonl").write_text('{"q": 1}\n', encoding="utf-8")
    assert peer_files(task) != first
    task.write_text("process_docs: !function utils.process", encoding="utf-8")
    assert peer_files(task) == peer_files(tmp_path / "hellaswag") == {}


def test_a_model_that_was_altered_on_disk_is_not_served(store: Store, tmp_path: Path) -> None:
    def fill(out: Path) -> None:
        (out / "weights").write_text("as made", encoding="utf-8")

    altered = made(store, "model", "altered", {}, fill)
    (altered.folder / "weights").write_text("altered", encoding="utf-8")
    spec = EvaluateSpec(task="lm_eval:hellaswag", alone=True)
    with pytest.raises(StoreError, match=r"weights of .* differs from its checksum"):
        measure_lm_eval(spec, spec.read(), {"model": altered}, {}, store, tmp_path, tmp_path, {}, hush)


def test_what_lm_eval_heard_of_a_knowledge_base_that_changed_meanwhile_is_not_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docs = tmp_path / "boat.txt"
    docs.write_text("The boat is red.", encoding="utf-8")
    sea = index(IndexSpec(source=str(docs), name="sea", embedder="none"), None, store, hush)

    @contextmanager
    def serving(*asked: object) -> Iterator[str]:
        yield "http://127.0.0.1:9/v1"

    def tool(*asked: object) -> None:
        (work / "model" / "told").mkdir()
        delete_documents(store.root, "sea", [str(docs)], hush)

    monkeypatch.setattr(lm_eval, "served", serving)
    monkeypatch.setattr(sidecar, "call", tool)
    spec, work = EvaluateSpec(task="lm_eval:gsm8k", alone=True, chat=True), tmp_path / "work"
    with pytest.raises(StoreError, match="the knowledge base 'sea' changed while it was asked"):
        measure_lm_eval(spec, spec.read(), {"model": sea}, {}, store, tmp_path, work, living(store, [sea]), hush)
    assert not (work / "model").exists()


def test_a_model_that_cannot_be_served_says_why(store: Store, tmp_path: Path) -> None:
    log = tmp_path / "serve.log"
    with pytest.raises(ServeError) as caught, served(store, "nobody", log):
        pass
    assert caught.value.what.startswith("luthier serve ended with status 1: error:")
    assert "nobody" in caught.value.what
    assert caught.value.where == str(log)
    assert caught.value.mend == "see what it says there"


def test_without_the_tool_nothing_is_asked(store: Store) -> None:
    found = bench(store, [example(1)])
    spec = EvaluateSpec(task="lm_eval:hellaswag", alone=True)
    with pytest.raises(ToolError) as caught:
        evaluate(spec, None, None, None, found.tuned, store, hush, found.open_model)
    assert caught.value.mend == "run: luthier setup lm-eval"


@pytest.mark.parametrize(("key", "value"), [("shots", 2), ("chat", True)])
def test_settings_of_lm_eval_are_refused_elsewhere(key: str, value: Any) -> None:
    with pytest.raises(SpecError) as caught:
        EvaluateSpec.model_validate({"task": "answer", key: value}).read()
    assert caught.value.where == f"key evaluate.{key}"
    assert "lm_eval:NAME" in caught.value.mend
    with pytest.raises(SpecError, match="knows its own rows"):
        EvaluateSpec(task="lm_eval:hellaswag", rows="rows.jsonl").rows_path()


def test_a_pair_is_measured_by_what_was_told_of_both(
    store: Store, monkeypatch: pytest.MonkeyPatch, told: list[Event]
) -> None:
    results, samples = told_files("capitals")
    better = json.loads(json.dumps(samples))
    for line in better["capitals"]:
        line["acc"] = line["acc_norm"] = 1.0
    right = {**results, "results": {"capitals": {"acc,none": 1.0, "acc_norm,none": 1.0}}}
    found = bench(store, [example(1)])
    given = {found.base.id: (results, samples), found.tuned.id: (right, better)}

    def tell_of(spec: Any, role: str, roles: Any, *rest: Any) -> Told:
        return read_told(*given[roles[role].id], hush)

    monkeypatch.setattr(lm_eval, "_told", tell_of)
    monkeypatch.setattr("luthier.evaluate.run.check_ready", lambda project, name: None)
    spec = EvaluateSpec(task="lm_eval:capitals", bootstrap=200)
    scores = evaluate(spec, found.base, found.tuned, None, None, store, told.append, found.open_model)
    figures = scores.card.figures["heldout"]["metrics"]["acc"]
    assert (figures["before"], figures["after"]) == (results["results"]["capitals"]["acc,none"], 1)
    assert scores.card.choices["lm-eval"] == " ".join(sidecar.TOOLS["lm-eval"].pins)
    assert scores.card.inputs["task"] == "lm_eval:capitals"
    assert (scores.folder / "lm_eval.json").exists()
    page = (scores.folder / "report.html").read_text(encoding="utf-8")
    assert "acc (lm-eval)" in page
    assert "Paris" in page
