"""What a response of the OpenAI API, or the chunks of a stream, have said."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from luthier.engine.ports import Answer, Finish, Likely, Piece
from luthier.errors import ServeError

ID_MARK = "token_id:"
"""How vLLM and Luthier write a token where `return_tokens_as_token_ids` was asked for: the mark and the id."""


class Heard:
    """One answer as far as it was heard."""

    def __init__(self) -> None:
        self.text = ""
        self.token_ids: tuple[int, ...] = ()
        self.prompt_ids: tuple[int, ...] = ()
        self.logprobs: tuple[Likely, ...] = ()
        self.finish: Finish | None = None
        self.counted = (0, 0)

    def hear(self, data: Mapping[str, Any], url: str) -> Piece:
        """Take a response or a chunk. Gives what it adds. Raises ServeError for tokens told without their ids."""
        fresh = tuple(data.get("prompt_token_ids") or ())
        self.prompt_ids = fresh or self.prompt_ids
        if usage := data.get("usage"):
            self.counted = (int(usage.get("prompt_tokens") or 0), int(usage.get("completion_tokens") or 0))
        for choice in data.get("choices", ())[:1]:
            words = choice.get("delta") or choice.get("message") or {}
            text = words.get("content") or choice.get("text") or ""
            token_ids = tuple(choice.get("token_ids") or ())
            logprobs = _logprobs(choice.get("logprobs") or {}, url)
            self.text += text
            self.token_ids += token_ids
            self.logprobs += logprobs
            if choice.get("finish_reason"):
                self.finish = "length" if choice["finish_reason"] == "length" else "stop"
            return Piece(text, None, token_ids, fresh, logprobs)
        return Piece("", None, (), fresh)

    def answer(self) -> Answer:
        """Give the answer as far as it was heard."""
        return Answer(
            self.text, self.token_ids, self.prompt_ids, self.finish or "stop", self.logprobs, counted=self.counted
        )


def _logprobs(told: Mapping[str, Any], url: str) -> tuple[Likely, ...]:
    """Read log-probabilities in the form of chats (`content`) or of completions (`tokens`, `token_logprobs`)."""
    if "tokens" in told:
        tops: Sequence[Mapping[str, float] | None] = told.get("top_logprobs") or [None] * len(told["tokens"])
        places = zip(told["tokens"], told["token_logprobs"], tops, strict=True)
        return tuple(_likely(token, value or 0.0, (top or {}).items(), url) for token, value, top in places)
    content = told.get("content") or ()
    best = [[(top["token"], top["logprob"]) for top in one.get("top_logprobs") or ()] for one in content]
    return tuple(_likely(one["token"], one["logprob"], top, url) for one, top in zip(content, best, strict=True))


def _likely(token: str, logprob: float, best: Iterable[tuple[str, float]], url: str) -> Likely:
    top = sorted(((_id(other, url), float(value)) for other, value in best), key=lambda one: -one[1])
    return Likely(_id(token, url), float(logprob), tuple(top))


def _id(token: str, url: str) -> int:
    if token.startswith(ID_MARK):
        return int(token.removeprefix(ID_MARK))
    raise ServeError(
        f"the server tells log-probabilities of {token!r} without its id",
        where=url,
        mend="ask a server that knows return_tokens_as_token_ids (Luthier, vLLM), or leave top_logprobs out",
    )
