"""Answers in the form of /v1/responses: whole, or as events that are numbered."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from luthier.artifact.example import ToolCall
from luthier.engine.ports import Answer, Likely, Piece
from luthier.serve.likely import Spell, of_chat
from luthier.serve.refusal import to_plain
from luthier.serve.request import Asked
from luthier.serve.response import usage, write
from luthier.serve.responses_request import ResponsesRequest
from luthier.serve.tools import Withheld, as_openai


class ResponsesForm:
    """The form of one response."""

    def __init__(self, asked: Asked, request: ResponsesRequest, spell: Spell) -> None:
        self._asked = asked
        self._request = request
        self._spell = spell
        self.id = f"resp_{uuid.uuid4().hex}"
        self._message_id = f"msg_{uuid.uuid4().hex}"
        self._created = int(time.time())
        self._number = 0
        self._text = ""
        self._likely: list[Likely] = []
        self._withheld = Withheld(asked.tools) if asked.tools else None
        self._items: list[dict[str, Any]] = []
        self._is_open = False

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the whole response."""
        [answer] = answers
        text, calls = self._asked.tools.read(answer.text) if self._asked.tools else (answer.text, [])
        output = [self._message(text, answer.logprobs)] if text or not calls else []
        return self._resource(answer, [*output, *map(_call_item, calls)])

    def opening(self, index: int, piece: Piece) -> Iterator[bytes]:
        """Give the events before the first text."""
        begun = self._resource(None, [])
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)

    def _open(self) -> Iterator[bytes]:
        self._is_open = True
        item = {"id": self._message_id, "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        yield self._event("response.output_item.added", output_index=0, item=item)
        yield self._event("response.content_part.added", **self._place, part=self._part("", ()))

    def chunks(self, index: int, pieces: Sequence[Piece]) -> Iterator[bytes]:
        """Give the events of some pieces."""
        for piece in pieces:
            text = self._withheld.hear(piece.text) if self._withheld else piece.text
            self._likely += piece.logprobs
            yield from self._say(text, piece.logprobs)
            if piece.answer is not None:
                yield from self._end(piece.answer)

    def _say(self, text: str, likely: Sequence[Likely]) -> Iterator[bytes]:
        if not text:
            return
        if not self._is_open:
            yield from self._open()
        self._text += text
        logprobs = of_chat(likely, self._spell)["content"] if likely else []
        yield self._event("response.output_text.delta", **self._place, delta=text, logprobs=logprobs)

    def _end(self, answer: Answer) -> Iterator[bytes]:
        rest, calls = self._withheld.end() if self._withheld else ("", [])
        yield from self._say(rest, ())
        if not self._is_open and not calls:
            yield from self._open()
        if self._is_open:
            item = self._message(self._text, self._likely)
            part = item["content"][0]
            yield self._event("response.output_text.done", **self._place, text=self._text, logprobs=part["logprobs"])
            yield self._event("response.content_part.done", **self._place, part=part)
            yield self._event("response.output_item.done", output_index=0, item=item)
            self._items.append(item)
        for call in calls:
            yield from self._called(call)

    def _called(self, call: ToolCall) -> Iterator[bytes]:
        item = _call_item(call)
        at = {"output_index": len(self._items), "item_id": item["id"]}
        begun = {**item, "status": "in_progress", "arguments": ""}
        yield self._event("response.output_item.added", output_index=len(self._items), item=begun)
        yield self._event("response.function_call_arguments.delta", **at, delta=item["arguments"])
        yield self._event("response.function_call_arguments.done", **at, arguments=item["arguments"])
        yield self._event("response.output_item.done", output_index=len(self._items), item=item)
        self._items.append(item)

    def closing(self, answers: Sequence[Answer]) -> Iterator[bytes]:
        """Give the event that ends the stream, with the whole response in it."""
        whole = self._resource(answers[0], self._items)
        yield self._event(f"response.{whole['status']}", response=whole)

    def broken(self, error: BaseException) -> Iterator[bytes]:
        """Give the events of a stream that broke."""
        plain = to_plain(error)["error"]
        code = plain["code"] or "server_error"
        yield self._event("error", code=code, message=plain["message"], param=plain["param"])
        failed = self._resource(None, self._items) | {
            "status": "failed",
            "error": {"code": "server_error", "message": plain["message"]},
        }
        yield self._event("response.failed", response=failed)

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._message_id, "output_index": 0, "content_index": 0}

    def _event(self, name: str, **fields: Any) -> bytes:
        data = {"type": name, "sequence_number": self._number, **fields}
        self._number += 1
        return f"event: {name}\ndata: {write(data)}\n\n".encode("utf-8", "replace")

    def _part(self, text: str, likely: Sequence[Likely]) -> dict[str, Any]:
        logprobs = of_chat(likely, self._spell)["content"] if likely else []
        return {"type": "output_text", "text": text, "annotations": [], "logprobs": logprobs}

    def _message(self, text: str, likely: Sequence[Likely]) -> dict[str, Any]:
        return {
            "id": self._message_id,
            "type": "message",
            "status": "completed",
            "role": "assistant",
            "content": [self._part(text, likely)],
        }

    def _resource(self, answer: Answer | None, output: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        request, sampling = self._request, self._asked.sampling
        is_cut = answer is not None and answer.finish == "length"
        status = "in_progress" if answer is None else "incomplete" if is_cut else "completed"
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "completed_at": int(time.time()) if status == "completed" else None,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
            "instructions": request.instructions,
            "model": self._asked.model,
            "output": list(output),
            "previous_response_id": None,
            "tools": [{"strict": None, "description": None, **tool.model_dump()} for tool in request.tools or ()],
            "tool_choice": _plain_choice(request),
            "parallel_tool_calls": True if request.parallel_tool_calls is None else request.parallel_tool_calls,
            "text": {"format": _format(request)},
            "temperature": 1.0 if sampling.temperature is None else sampling.temperature,
            "top_p": 1.0 if sampling.top_p is None else sampling.top_p,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
            "top_logprobs": sampling.top_logprobs or 0,
            "max_output_tokens": request.max_output_tokens,
            "max_tool_calls": None,
            "truncation": "disabled",
            "reasoning": {"effort": None, "summary": None},
            "store": False,
            "background": False,
            "service_tier": "default",
            "metadata": dict(answer.details) if answer else {},
            "safety_identifier": None,
            "prompt_cache_key": None,
            "usage": _usage(answer) if answer else None,
        }


def _call_item(call: ToolCall) -> dict[str, Any]:
    [form] = as_openai([call])
    return {
        "id": f"fc_{uuid.uuid4().hex}",
        "type": "function_call",
        "status": "completed",
        "call_id": call.id,
        **form["function"],
    }


def _plain_choice(request: ResponsesRequest) -> Any:
    choice = request.tool_choice
    return choice if isinstance(choice, str) else choice.model_dump() if choice else "auto"


def _format(request: ResponsesRequest) -> dict[str, Any]:
    form = request.text.format if request.text else None
    if form is None or form.type != "json_schema":
        return {"type": form.type if form else "text"}
    return {
        "type": "json_schema",
        "name": form.name,
        "description": form.description,
        "schema": form.schema_,
        "strict": bool(form.strict),
    }


def _usage(answer: Answer) -> dict[str, Any]:
    counted = usage([answer], 1)
    return {
        "input_tokens": counted["prompt_tokens"],
        "input_tokens_details": counted["prompt_tokens_details"],
        "output_tokens": counted["completion_tokens"],
        "output_tokens_details": counted["completion_tokens_details"],
        "total_tokens": counted["total_tokens"],
    }
