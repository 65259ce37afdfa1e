"""Whatever answers questions, as a tool: a knowledge base, or any other model."""

import json
from collections.abc import Mapping
from typing import Any

from luthier.act.tool import CallError, Output, Tool
from luthier.artifact.example import Message
from luthier.engine.ports import ChatModel, Sampling
from luthier.errors import LuthierError

MOST_TOKENS = 512


def knowledge(model: ChatModel, name: str, about: str) -> Tool:
    """Give a model as a tool that takes a question."""
    parameters = {
        "type": "object",
        "properties": {"question": {"type": "string", "minLength": 1, "description": "a whole question"}},
        "required": ["question"],
        "additionalProperties": False,
    }

    def call(arguments: Mapping[str, Any], seconds: float) -> Output:
        wishes: dict[str, Any] = {"max_seconds": seconds} if "max_seconds" in model.takes else {}
        sampling = Sampling(max_tokens=MOST_TOKENS, temperature=0.0, **wishes)
        try:
            *_, last = model.stream((Message("user", arguments["question"]),), sampling, lambda: False)
        except (LuthierError, ValueError) as error:
            what, where, mend = (
                (error.what, error.where, error.mend)
                if isinstance(error, LuthierError)
                else ("it said nothing", model.name, "ask something else")
            )
            raise CallError(what, where=where, mend=mend) from error
        answer = last.answer
        if answer is None:
            raise CallError("it stopped before it had answered", where=model.name, mend="ask something shorter")
        details = json.loads(json.dumps(dict(answer.details), default=str))
        return Output(answer.text, details)

    return Tool(name, about, parameters, call, "knowledge")
