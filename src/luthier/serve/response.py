"""Answers in the form OpenAI's client reads: whole, or in chunks."""

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from luthier.engine.ports import Answer, Piece
from luthier.serve.request import Asked

DONE = "data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> str:
    """Give one server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


def usage(answers: Sequence[Answer], choices_per_prompt: int) -> dict[str, int]:
    """Count tokens; a prompt that was answered several times counts once."""
    prompt = sum(len(answer.prompt_ids) for answer in answers[::choices_per_prompt])
    said = sum(len(answer.token_ids) for answer in answers)
    return {"prompt_tokens": prompt, "completion_tokens": said, "total_tokens": prompt + said}


class Form:
    """The form of one response: one id and one time for all its chunks."""

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._said = "chat.completion" if asked.is_chat else "text_completion"
        self._id = f"{'chatcmpl' if asked.is_chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._told_prompts: set[int] = set()

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the whole response."""
        choices = [
            self._choice(index, self._text(answer.text), answer.finish, answer.token_ids)
            for index, answer in enumerate(answers)
        ]
        counted = usage(answers, self._asked.choices_per_prompt)
        return self._response(self._said, choices) | {"usage": counted} | self._prompt_ids(answers)

    def opening(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Give the chunks before an answer's first token: in a chat, the one that says who speaks."""
        if not self._asked.is_chat:
            return []
        first = self._chunk(self._choice(index, {"delta": {"role": "assistant", "content": ""}}, None, ()))
        return [first | self._ids_once(index, piece)]

    def chunks(self, index: int, piece: Piece) -> list[dict[str, Any]]:
        """Give the chunks of one piece; after the last one, an empty one that says why the answer ended."""
        chunks = []
        ids = piece.token_ids
        if piece.text or (ids and self._asked.returns_ids):
            words = {"delta": {"content": piece.text}} if self._asked.is_chat else {"text": piece.text}
            chunks.append(self._chunk(self._choice(index, words, None, ids)) | self._ids_once(index, piece))
        if piece.answer is not None:
            nothing: dict[str, Any] = {"delta": {}} if self._asked.is_chat else {"text": ""}
            last = self._chunk(self._choice(index, nothing, piece.answer.finish, ()))
            chunks.append(last | self._ids_once(index, piece))
        return chunks

    def _ids_once(self, index: int, piece: Piece) -> dict[str, Any]:
        """Give the prompt's ids in the first chunk of an answer, or as soon as the engine tells them."""
        ids = piece.answer.prompt_ids if piece.answer is not None else piece.prompt_ids
        is_known = bool(ids) or piece.answer is not None
        if not self._asked.returns_ids or not is_known or index in self._told_prompts:
            return {}
        self._told_prompts.add(index)
        return {"prompt_token_ids": list(ids)}

    def counted(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the chunk that counts tokens: it has no choices."""
        return self._response(self._name_of_chunk, []) | {"usage": usage(answers, self._asked.choices_per_prompt)}

    @property
    def _name_of_chunk(self) -> str:
        return "chat.completion.chunk" if self._asked.is_chat else self._said

    def _text(self, text: str) -> dict[str, Any]:
        return {"message": {"role": "assistant", "content": text}} if self._asked.is_chat else {"text": text}

    def _choice(
        self, index: int, words: Mapping[str, Any], finish: str | None, token_ids: Sequence[int]
    ) -> dict[str, Any]:
        ids = {"token_ids": list(token_ids)} if self._asked.returns_ids else {}
        return {"index": index, **words, "logprobs": None, "finish_reason": finish, **ids}

    def _chunk(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        counting = {"usage": None} if self._asked.counts_usage else {}
        return self._response(self._name_of_chunk, [choice]) | counting

    def _response(self, name: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": self._id,
            "object": name,
            "created": self._created,
            "model": self._asked.model,
            "choices": list(choices),
        }

    def _prompt_ids(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the ids of the prompt; of several prompts, a list of their lists."""
        if not self._asked.returns_ids:
            return {}
        ids = [list(answer.prompt_ids) for answer in answers[:: self._asked.choices_per_prompt]]
        return {"prompt_token_ids": ids[0] if len(ids) == 1 else ids}
