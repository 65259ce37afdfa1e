"""The heavy half: find the threshold, ask the questions, write answers and traces."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from luthier.answer.confidence import calibrate
from luthier.answer.knowledge import KnowledgeModel
from luthier.answer.opening import open_answers
from luthier.answer.spec import AnswerSpec
from luthier.artifact import atomic
from luthier.artifact.example import Message, plain
from luthier.artifact.questions import Asked, is_file, read_questions
from luthier.artifact.store import Artifact
from luthier.engine.ports import ChatModel, Sampling
from luthier.engine.remote import is_address, open_address
from luthier.event import Counted, Progress, Said, Tell

ANSWERS, TRACES, CALIBRATION = "answers.jsonl", "traces.jsonl", "calibration.json"


def build_answers(
    spec: AnswerSpec,
    folders: Sequence[Path],
    name: str,
    generator: Artifact | None,
    earlier: Path | None,
    out: Path,
    open_model: Callable[[Artifact], ChatModel],
    tell: Tell,
) -> Mapping[str, Any]:
    """Fill `out`. Gives what was counted, for the card."""
    writer = open_model(generator) if generator else _at(spec.generator)
    figures: dict[str, Any] = {}
    threshold = None
    if spec.tune:
        model = open_answers(folders, spec, writer, name=name, threshold=0.0)
        found = calibrate(*_confidences(model, read_questions(Path(spec.tune)), tell))
        figures["calibration"], threshold = asdict(found), found.threshold
        atomic.write_json(out / CALIBRATION, asdict(found))
        tell(Said(found.sentence()))
    traces: list[Mapping[str, Any]] = []
    model = open_answers(folders, spec, writer, name=name, threshold=threshold, keep=traces.append, tell=tell)
    asked, recorded = _questions(spec, earlier)
    answers = []
    for number, (each, steps) in enumerate(zip(asked, recorded, strict=True), 1):
        answers.append(_ask(model, each, steps))
        if len(asked) > 1:
            tell(Progress("answers", number, len(asked), "answers"))
    _write_lines(out / ANSWERS, answers)
    _write_lines(out / TRACES, traces)
    if answers:
        figures |= _figures(answers)
        tell(Counted("answers", {"asked": len(answers), "not in the documents": figures["abstained"]}))
    return figures


def _at(generator: str) -> ChatModel | None:
    return open_address(generator) if is_address(generator) else None


def _questions(spec: AnswerSpec, earlier: Path | None) -> tuple[list[Asked], list[tuple[Mapping[str, Any], ...]]]:
    """Give what is asked, and for each question the steps of an earlier trace of it."""
    if earlier is not None:
        traces = [json.loads(line) for line in earlier.read_text(encoding="utf-8").splitlines()]
        asked = [Asked(trace["question"], tuple(Message(**turn) for turn in trace["history"])) for trace in traces]
        return asked, [tuple(trace["steps"]) for trace in traces]
    asked = read_questions(Path(spec.question)) if is_file(spec.question) else []
    if not asked and spec.question:
        asked = [Asked(spec.question)]
    return asked, [() for _ in asked]


def _ask(model: KnowledgeModel, asked: Asked, recorded: tuple[Mapping[str, Any], ...]) -> dict[str, Any]:
    prompt = (*asked.history, Message("user", asked.question))
    answer = model.reply(prompt, Sampling(), recorded=recorded)
    return {
        "question": asked.question,
        "history": plain(asked.history),
        "answer": answer.text,
        "finish": answer.finish,
        **answer.details,
    }


def _confidences(model: KnowledgeModel, asked: Sequence[Asked], tell: Tell) -> tuple[list[float], list[float]]:
    """Give how sure the base is of questions that it can answer, and of questions that it cannot.

    Those whose documents are named count twice: with their documents, and as if these were not there.
    """
    yes: list[float] = []
    no: list[float] = []
    for number, each in enumerate(asked, 1):
        whole, without = model.confidences(each.question, each.history, each.documents)
        (yes if each.answerable else no).append(whole)
        if each.answerable and each.documents:
            no.append(without)
        tell(Progress("questions", number, len(asked), "questions"))
    return yes, no


def _figures(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    sentences = [sentence for answer in answers for sentence in answer["sentences"]]
    return {
        "questions": len(answers),
        "abstained": sum(answer["abstained"] for answer in answers),
        "sentences": len(sentences),
        "carried": sum(sentence["carried"] for sentence in sentences),
    }


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    atomic.write_text(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
