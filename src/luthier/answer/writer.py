"""The generator as an answer uses it: prompts written down with their tokens and times, answers known from an earlier
trace taken from there."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from luthier.answer.trace import Trace
from luthier.artifact.example import Message, plain
from luthier.engine.ports import ChatModel, Sampling, Spelled
from luthier.event import hush
from luthier.measure.words import count_words

TOKENS_PER_WORD = 1.4
"""Where a generator's tokens are not known here: English is about 1.3 tokens a word, a CJK character about one."""


EARLIER = "an earlier trace"


def about_tokens(text: str) -> int:
    """Give about how many tokens a text has."""
    return int(count_words(text) * TOKENS_PER_WORD) + 1


class Writer:
    """A generator with how it is to draw."""

    def __init__(self, model: ChatModel, sampling: Sampling) -> None:
        self.model = model
        self.sampling = sampling

    def count(self, text: str) -> int:
        """Give how many tokens a text has: exactly where the generator's tokens are known, else about."""
        if isinstance(self.model, Spelled):
            return len(self.model.encode(text))
        return about_tokens(text)

    @property
    def context(self) -> int | None:
        """The longest sequence it takes, None where that is not known here."""
        return self.model.context if isinstance(self.model, Spelled) else None

    def write(self, purpose: str, text: str, trace: Trace, *, rules: str = "", max_tokens: int = 128) -> str:
        """Give what the generator answers to a text; `purpose` names it in the trace."""
        pieces = self.stream(purpose, text, trace, rules=rules, max_tokens=max_tokens)
        return "".join(pieces).strip()

    def stream(
        self,
        purpose: str,
        text: str,
        trace: Trace,
        *,
        rules: str = "",
        max_tokens: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Iterator[str]:
        """Give what the generator answers, as it is said."""
        prompt = (*([Message("system", rules)] if rules else []), Message("user", text))
        sampling = self.sampling if max_tokens is None else replace(self.sampling, max_tokens=max_tokens)
        facts = {"purpose": purpose, "model": self.model.name, "prompt": plain(prompt), "sampling": _drawn(sampling)}
        known = trace.earlier("generate", **facts)
        if known is not None:
            trace.add("generate", **facts, **{**_kept(known), "taken_from": EARLIER})
            yield known["answer"]
            return
        with trace.timed("generate", **facts) as entry:
            said = ""
            for piece in self.model.stream(prompt, sampling, cancelled):
                said += piece.text
                yield piece.text
                if piece.answer is not None:
                    entry["finish"] = piece.answer.finish
                    entry["prompt_tokens"] = piece.answer.tokens_read or self.count(text)
                    entry["answer_tokens"] = piece.answer.tokens_said or self.count(said)
            entry["answer"] = said

    def write_each(self, purpose: str, texts: Sequence[str], trace: Trace, *, max_tokens: int) -> list[str]:
        """Give what the generator answers to each of several texts, asked together."""
        sampling = replace(self.sampling, max_tokens=max_tokens)
        prompts = [(Message("user", text),) for text in texts]
        entries = [
            {"purpose": purpose, "model": self.model.name, "prompt": plain(prompt), "sampling": _drawn(sampling)}
            for prompt in prompts
        ]
        known = [trace.earlier("generate", **entry) for entry in entries]
        missing = [place for place, found in enumerate(known) if found is None]
        begun = time.perf_counter()
        answers = self.model.answer([prompts[place] for place in missing], sampling, hush) if missing else []
        seconds = round((time.perf_counter() - begun) / max(1, len(missing)), 4)
        fresh: dict[int, dict[str, object]] = {
            place: {
                "answer": answer.text,
                "finish": answer.finish,
                "prompt_tokens": answer.tokens_read or self.count(texts[place]),
                "answer_tokens": answer.tokens_said or self.count(answer.text),
                "seconds": seconds,
            }
            for place, answer in zip(missing, answers, strict=True)
        }
        said = [fresh.get(place) or {**_kept(found), "taken_from": EARLIER} for place, found in enumerate(known)]
        for entry, facts in zip(entries, said, strict=True):
            trace.add("generate", **entry, **facts)
        return [str(facts["answer"]).strip() for facts in said]


def _drawn(sampling: Sampling) -> dict[str, object]:
    """What decides on the answer beside the prompt."""
    return {
        "max_tokens": sampling.max_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "seed": sampling.seed,
    }


def _kept(known: Mapping[str, Any] | None) -> dict[str, object]:
    kept = ("answer", "finish", "prompt_tokens", "answer_tokens")
    return {key: known[key] for key in kept if key in known} if known else {}
