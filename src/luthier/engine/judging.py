"""Judges: how well an answer agrees with facts, speaks to its question, or follows from its context, from 1 to 5."""

import json
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

from luthier.artifact.example import Message
from luthier.engine.ports import Answer, ChatModel, Prompt, Sampling, close
from luthier.engine.remote import RemoteModel
from luthier.errors import ServeError
from luthier.event import hush
from luthier.measure.sentences import sentences
from luthier.measure.support import DENIED, content, support
from luthier.measure.task import OFFLINE

LOWEST, HIGHEST = 1, 5
MOST_LETTERS = 120
"""Of a reason, where the engine holds it to the schema: one that rambles would never come to its score."""
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": MOST_LETTERS},
            "score": {"type": "integer", "minimum": LOWEST, "maximum": HIGHEST},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
)
MOST_TOKENS = 256
"""Of a verdict: a sentence and a number, in a script that takes two tokens a letter too."""


@dataclass(frozen=True)
class Case:
    """One answer to be judged."""

    question: str
    context: str
    answer: str


@dataclass(frozen=True)
class Verdict:
    """What a judge found. Without a score it could not judge: the reason says why."""

    score: int | None
    reason: str


class Judge(Protocol):
    """Anything that judges."""

    def judge(self, criterion: str, cases: Sequence[Case], *, answer_first: bool = False) -> list[Verdict]:
        """Give a verdict on each case; `answer_first` shows the answer before what it is held against."""


class OfflineJudge:
    """Judges by words, numbers and denials: no model, the same verdict everywhere, and no sense of meaning."""

    def judge(self, criterion: str, cases: Sequence[Case], *, answer_first: bool = False) -> list[Verdict]:
        """Give a verdict on each case; what stands first makes no difference to it."""
        return [RULES[criterion](case) for case in cases]


def _relevance(case: Case) -> Verdict:
    wanted = content(case.question)
    if not wanted:
        return Verdict(None, "the question has no words to go by")
    missing = sorted(wanted - content(case.answer))
    share = 1 - len(missing) / len(wanted)
    return Verdict(_score(share), f"it speaks of {share:.0%} of the question; not of: {', '.join(missing[:8]) or '-'}")


def _truthfulness(case: Case) -> Verdict:
    found = [support(case.answer[begin:end], case.context) for begin, end in sentences(case.answer)]
    if not found or not case.context.strip():
        return Verdict(None, "there is no answer, or no context to hold it against")
    share = sum(one.share for one in found) / len(found)
    lacking = [part for one in found for part in one.lacking]
    return Verdict(_score(share), f"the context carries {share:.0%} of it; lacking: {', '.join(lacking[:8]) or '-'}")


def _consistency(case: Case) -> Verdict:
    """What is merely not said is no contradiction; a denial or another number is."""
    found = [support(case.answer[begin:end], case.context) for begin, end in sentences(case.answer)]
    if not found or not case.context.strip():
        return Verdict(None, "there is no answer, or no context to hold it against")
    denied = any(DENIED in one.lacking for one in found)
    numbers = any(part != DENIED for one in found for part in one.lacking)
    score = HIGHEST - 3 * denied - 2 * numbers
    said = [*(["only one of both denies"] if denied else []), *(["numbers differ"] if numbers else [])]
    return Verdict(max(LOWEST, score), " and ".join(said) or "nothing in it is denied, no number differs")


def _score(share: float) -> int:
    return LOWEST + round((HIGHEST - LOWEST) * share)


RULES = {"consistency": _consistency, "relevance": _relevance, "truthfulness": _truthfulness}


class ModelJudge:
    """Asks a model, in JSON that is constrained where its engine can; what is no verdict is asked for once more."""

    def __init__(self, model: ChatModel) -> None:
        """Make a judge of anything that answers."""
        self.model = model
        schema = SCHEMA if "json_schema" in model.takes else None
        self._sampling = Sampling(max_tokens=MOST_TOKENS, temperature=0.0, json_schema=schema)

    def judge(self, criterion: str, cases: Sequence[Case], *, answer_first: bool = False) -> list[Verdict]:
        """Give a verdict on each case."""
        prompts = [_prompt(criterion, case, answer_first) for case in cases]
        said = self._said(list(prompts))
        verdicts = [read_verdict(text) for text in said]
        again = [place for place, verdict in enumerate(verdicts) if verdict.score is None]
        if again:
            reminder = Message("user", str(rubrics()["again"]))
            asked: list[Prompt] = [(*prompts[place], Message("assistant", said[place]), reminder) for place in again]
            for place, text in zip(again, self._said(asked), strict=True):
                verdicts[place] = read_verdict(text)
        return verdicts

    def _said(self, prompts: list[Prompt]) -> list[str]:
        """Ask; a judge that is down judges nothing, and says why."""
        try:
            answers: list[Answer] = self.model.answer(prompts, self._sampling, hush)  # whoever asks counts the verdicts
        except ServeError as error:
            return [f"the judge is down: {error.what}"] * len(prompts)
        return [answer.text for answer in answers]


def open_judge(name: str, open_artifact: Callable[[str], ChatModel]) -> Judge:
    """Give the judge that is named: `offline`, an OpenAI address, or an artifact's id."""
    if name == OFFLINE:
        return OfflineJudge()
    return ModelJudge(RemoteModel(name) if "://" in name else open_artifact(name))


def close_judge(judge: Judge | None) -> None:
    """Let a judge's model give back what it holds."""
    if isinstance(judge, ModelJudge):
        close(judge.model)


def read_verdict(text: str) -> Verdict:
    """Read a verdict out of what a judge said, mending what can be mended: a fence, words around it, a bare number."""
    for found in re.finditer(r"\{[^{}]*\}", text):
        try:
            value: Any = json.loads(found.group())
        except ValueError:
            continue
        score = value.get("score") if isinstance(value, dict) else None
        score = int(score) if isinstance(score, str) and score.strip().isdecimal() else score
        if isinstance(score, int) and not isinstance(score, bool) and LOWEST <= score <= HIGHEST:
            return Verdict(score, str(value.get("reason", "")))
    bare = re.fullmatch(r"\W*(?:score\W*)?([1-5])\W*(?:/ ?5)?\W*", text.strip(), re.IGNORECASE)
    return Verdict(int(bare[1]), "") if bare else Verdict(None, f"no verdict: {text.strip()[:200]}")


def _prompt(criterion: str, case: Case, answer_first: bool) -> tuple[Message, ...]:
    rubric = rubrics()[criterion]
    facts = rubric["facts"].format(question=case.question, context=case.context)
    parts = [facts, f"Answer:\n{case.answer}"]
    text = "\n\n".join([rubric["ask"], *(parts[::-1] if answer_first else parts)])
    return Message("system", str(rubrics()["system"])), Message("user", text)


@cache
def rubrics() -> dict[str, Any]:
    """Give what judges are told."""
    return tomllib.loads(Path(__file__).with_name("rubrics.toml").read_text(encoding="utf-8"))
