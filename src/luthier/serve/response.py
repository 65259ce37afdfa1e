"""Answers in the form OpenAI's client reads: whole, or in chunks."""

import json
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthier.engine.ports import Answer, Likely, Piece
from luthier.serve.likely import Spell, of_chat, of_completion, of_echoed
from luthier.serve.refusal import to_plain
from luthier.serve.request import Asked
from luthier.serve.tools import Withheld, as_openai

DONE = b"data: [DONE]\n\n"


def event(data: Mapping[str, Any]) -> bytes:
    """Give one server-sent event."""
    return f"data: {write(data)}\n\n".encode("utf-8", "replace")


def write(data: Any) -> str:
    """Give JSON as short as it goes."""
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def usage(answers: Sequence[Answer], choices_per_prompt: int) -> dict[str, Any]:
    """Count tokens; a prompt that was answered several times counts once."""
    prompt = sum(answer.tokens_read for answer in answers[::choices_per_prompt])
    said = sum(answer.tokens_said for answer in answers)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": said,
        "total_tokens": prompt + said,
        "prompt_tokens_details": {"cached_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


class Form:
    """The form of one response: one id and one time for all its chunks."""

    def __init__(self, asked: Asked, fingerprint: str, spell: Spell, echoes: Sequence[str] = ()) -> None:
        self._asked = asked
        self._spell = spell
        self._echoes = echoes
        self._said = "chat.completion" if asked.is_chat else "text_completion"
        self._fingerprint = fingerprint
        self.id = f"{'chatcmpl' if asked.is_chat else 'cmpl'}-{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._told_prompts: set[int] = set()
        self._withheld: dict[int, Withheld] = {}
        self._offsets: dict[int, int] = {}
        self._heads: dict[int, bytes] = {}
        self._tail = b'},"logprobs":null,"finish_reason":null}]%s}\n\n' % self._counting()
        self._is_plain = asked.is_chat and not asked.returns_ids and asked.sampling.top_logprobs is None

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the whole response."""
        choices = [self._whole_choice(index, answer) for index, answer in enumerate(answers)]
        counted = usage(answers, self._asked.choices_per_prompt)
        return self._response(self._said, choices) | {"usage": counted} | self._prompt_ids(answers)

    def _whole_choice(self, index: int, answer: Answer) -> dict[str, Any]:
        if not self._asked.is_chat:
            text = self._echo(index) + answer.text
            choice = self._choice(index, {"text": text}, answer.finish, answer.token_ids, answer.logprobs)
            asked = self._asked.sampling.prompt_logprobs is not None
            return choice | ({"logprobs": of_echoed(answer, self._spell)} if asked else {})
        text, calls = self._asked.tools.read(answer.text) if self._asked.tools else (answer.text, [])
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None, "refusal": None}
        message["annotations"] = []
        if calls:
            message["tool_calls"] = as_openai(calls)
        if answer.details:
            message["metadata"] = dict(answer.details)
        finish = "tool_calls" if calls else answer.finish
        return self._choice(index, {"message": message}, finish, answer.token_ids, answer.logprobs)

    def opening(self, index: int, piece: Piece) -> Iterator[bytes]:
        """Give the chunks before an answer's first token: in a chat who speaks, else the prompt, if it is echoed."""
        if self._asked.is_chat:
            first = self._chunk(self._choice(index, {"delta": {"role": "assistant", "content": ""}}, None))
            yield event(first | self._ids_once(index, piece))
        elif self._echo(index):
            yield event(self._chunk(self._choice(index, {"text": self._echo(index)}, None)))

    def chunks(self, index: int, pieces: Sequence[Piece]) -> Iterator[bytes]:
        """Give the chunks of some pieces; after the last one, an empty one that says why the answer ended."""
        for piece in pieces:
            text = self._let_through(index, piece.text)
            if self._is_plain and text:
                yield self._quick(index, text)
            elif text or (piece.token_ids and not self._is_plain):
                words = {"delta": {"content": text}} if self._asked.is_chat else {"text": text}
                chunk = self._chunk(self._choice(index, words, None, piece.token_ids, piece.logprobs))
                yield event(chunk | self._ids_once(index, piece))
            if piece.answer is not None:
                yield from self._ending(index, piece, piece.answer)

    def _let_through(self, index: int, text: str) -> str:
        if self._asked.tools is None:
            return text
        if index not in self._withheld:
            self._withheld[index] = Withheld(self._asked.tools)
        return self._withheld[index].hear(text)

    def _ending(self, index: int, piece: Piece, answer: Answer) -> Iterator[bytes]:
        finish: str = answer.finish
        if index in self._withheld:
            rest, calls = self._withheld[index].end()
            if rest:
                yield event(self._chunk(self._choice(index, {"delta": {"content": rest}}, None)))
            if calls:
                finish = "tool_calls"
                delta = {"delta": {"tool_calls": as_openai(calls, numbered=True)}}
                yield event(self._chunk(self._choice(index, delta, None)))
        details = {"metadata": dict(answer.details)} if answer.details else {}
        nothing: dict[str, Any] = {"delta": details} if self._asked.is_chat else {"text": ""}
        last = self._chunk(self._choice(index, nothing, finish))
        yield event(last | self._ids_once(index, piece))

    def _quick(self, index: int, text: str) -> bytes:
        """A chunk that holds text and nothing else: its frame is written once."""
        head = self._heads.get(index)
        if head is None:
            frame = self._response(self._name_of_chunk, [])
            del frame["choices"]
            begin = write(frame)[:-1]
            head = f'data: {begin},"choices":[{{"index":{index},"delta":{{"content":'.encode("utf-8", "replace")
            self._heads[index] = head
        return head + json.dumps(text, ensure_ascii=False).encode("utf-8", "replace") + self._tail

    def _counting(self) -> bytes:
        return b',"usage":null' if self._asked.counts_usage else b""

    def _ids_once(self, index: int, piece: Piece) -> dict[str, Any]:
        """Give the prompt's ids in the first chunk of an answer, or as soon as the engine tells them."""
        ids = piece.answer.prompt_ids if piece.answer is not None else piece.prompt_ids
        is_known = bool(ids) or piece.answer is not None
        if not self._asked.returns_ids or not is_known or index in self._told_prompts:
            return {}
        self._told_prompts.add(index)
        return {"prompt_token_ids": list(ids)}

    def closing(self, answers: Sequence[Answer]) -> Iterator[bytes]:
        """Give what ends a stream: the chunk that counts tokens and has no choices, where it is asked for."""
        if self._asked.counts_usage:
            counted = {"usage": usage(answers, self._asked.choices_per_prompt)}
            yield event(self._response(self._name_of_chunk, []) | counted)
        yield DONE

    def broken(self, error: BaseException) -> Iterator[bytes]:
        """Give what ends a stream that broke: the status is sent already, so the error is an event."""
        yield event(to_plain(error))
        yield DONE

    @property
    def _name_of_chunk(self) -> str:
        return "chat.completion.chunk" if self._asked.is_chat else self._said

    def _echo(self, index: int) -> str:
        return self._echoes[index // self._asked.choices_per_prompt] if self._asked.echo else ""

    def _choice(
        self,
        index: int,
        words: Mapping[str, Any],
        finish: str | None,
        token_ids: Sequence[int] = (),
        likely: Sequence[Likely] = (),
    ) -> dict[str, Any]:
        ids = {"token_ids": list(token_ids)} if self._asked.returns_ids else {}
        return {"index": index, **words, "logprobs": self._logprobs(index, likely), "finish_reason": finish, **ids}

    def _logprobs(self, index: int, likely: Sequence[Likely]) -> dict[str, Any] | None:
        if not likely:
            return None
        if self._asked.is_chat:
            return of_chat(likely, self._spell)
        begin = self._offsets.get(index, len(self._echo(index)))
        form = of_completion(likely, self._spell, begin)
        self._offsets[index] = form["text_offset"][-1] + len(form["tokens"][-1])
        return form

    def _chunk(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        counting = {"usage": None} if self._asked.counts_usage else {}
        return self._response(self._name_of_chunk, [choice]) | counting

    def _response(self, name: str, choices: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": name,
            "created": self._created,
            "model": self._asked.model,
            "system_fingerprint": self._fingerprint,
            "choices": list(choices),
        }

    def _prompt_ids(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the ids of the prompt; of several prompts, a list of their lists."""
        if not self._asked.returns_ids:
            return {}
        ids = [list(answer.prompt_ids) for answer in answers[:: self._asked.choices_per_prompt]]
        return {"prompt_token_ids": ids[0] if len(ids) == 1 else ids}
