"""Forms of chat: alpaca, messages (captured ones too), conversations, prompt and completion, two plain columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from luthier.prepare.conversation import Turn, messages_of, turn
from luthier.prepare.fault import BadRow
from luthier.prepare.spec import ColumnsSpec, SetSpec
from luthier.prepare.tools import tools_of
from luthier.prepare.values import text_of, truth_of, unpacked

Data = Mapping[str, Any]
Names = dict[str, str]
Fields = dict[str, Any]
COMPLETIONS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("input", "output"),
)
"""Pairs of columns by which a question and its answer are known."""
LIKED = {"up": True, "good": True, "like": True, "liked": True, "positive": True, "+1": True, "👍": True,
         "down": False, "bad": False, "dislike": False, "disliked": False, "negative": False, "-1": False, "👎": False,
         }  # fmt: skip
"""How a person's judgement is written, in lower case."""


def first_there(data: Data, choices: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """Give the first tuple of columns that a row has all of, else the first."""
    return next((names for names in choices if all(name in data for name in names)), choices[0])


def plain_columns(data: Data, columns: ColumnsSpec) -> Names:
    """Two columns that the spec names."""
    return {"user": str(columns.user), "assistant": str(columns.assistant)}


def alpaca_columns(data: Data, columns: ColumnsSpec) -> Names:
    """instruction, output; input and history may be there."""
    return {"instruction": "instruction", "output": "output"}


def messages_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A list of turns, or what a gateway logs: a request and its response."""
    name = columns.messages or "messages"
    if name not in data and isinstance(unpacked(data.get("request")), dict) and "response" in data:
        return {"request": "request", "response": "response"}
    return {"messages": name}


def conversations_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A list of turns, as ShareGPT names it."""
    return {"messages": columns.messages or "conversations"}


def completion_columns(data: Data, columns: ColumnsSpec) -> Names:
    """A question and its answer, under one of several names."""
    prompt, completion = first_there(data, COMPLETIONS)
    return {"prompt": prompt, "completion": completion}


def read_columns(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read two columns; a system prompt, history and tools only where the spec names their columns."""
    columns = spec.columns
    asked = turn("user", data.get(names["user"]))
    turns = [*_history(data, columns.history), asked, turn("assistant", data.get(names["assistant"]))]
    system = system_of(data, columns.system, spec)
    return _chat(turns, system, data.get(columns.tools) if columns.tools else None)


def read_alpaca(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read instruction and input, joined by a line end, after the history."""
    turns = [*alpaca_prompt(data, spec), turn("assistant", data.get("output"))]
    return _chat(turns, system_of(data, spec.columns.system or "system", spec), _tools_beside_text(data, spec.columns))


def alpaca_prompt(data: Data, spec: SetSpec) -> list[Turn]:
    """Give the turns before the answer of an alpaca row."""
    question, extra = data.get("instruction"), text_of(data.get("input"))
    if extra and extra.strip() and isinstance(question, str):
        question = f"{question}\n{extra}" if question.strip() else extra
    return [*_history(data, spec.columns.history or "history"), turn("user", question)]


def read_messages(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read a list of turns with its tools, or a captured request with its response."""
    turns, tools = listed_turns(data, names, spec)
    return _chat(turns, system_of(data, spec.columns.system or "system", spec), tools)


def read_completion(data: Data, names: Names, spec: SetSpec) -> Fields:
    """Read prompt and completion, each a text or a list of turns."""
    turns = [*turns_in(data.get(names["prompt"]), "user"), *turns_in(data.get(names["completion"]), "assistant")]
    return _chat(turns, system_of(data, spec.columns.system or "system", spec), _tools_beside_text(data, spec.columns))


def listed_turns(data: Data, names: Names, spec: SetSpec) -> tuple[list[Any], Any]:
    """Give the turns of a row and its tools, as the file has them. Raises BadRow."""
    if "request" in names:
        return _captured(data, names)
    listed = unpacked(data.get(names["messages"]))
    if not isinstance(listed, list):
        raise BadRow("not of the form", f"{names['messages']} is {listed!r:.60}, not a list of turns", AS_OTHERS)
    return listed, tools_in(data, spec.columns)


def tools_in(data: Data, columns: ColumnsSpec) -> Any:
    """Give what a row says of the tools that may be called: OpenAI's older files name them functions."""
    return data.get(columns.tools) if columns.tools else data.get("tools", data.get("functions"))


def _tools_beside_text(data: Data, columns: ColumnsSpec) -> Any:
    """Give a row's tools; beside plain texts a column of that name may hold something else."""
    found = tools_in(data, columns)
    listed = unpacked(found)
    is_tools = isinstance(listed, list) and all(isinstance(tool, dict) for tool in listed)
    return found if columns.tools or is_tools else None


def turns_in(value: Any, role: str) -> list[Any]:
    """Give a list of turns as it is, one turn as a list, and anything else as the text of one turn."""
    value = unpacked(value) if not isinstance(value, str) or '"role"' in value or '"from"' in value else value
    if isinstance(value, list) and value and all(isinstance(one, dict) and "type" not in one for one in value):
        return value
    if isinstance(value, dict) and ("role" in value or "from" in value):
        return [value]
    return [turn(role, value)]


def _captured(data: Data, names: Names) -> tuple[list[Any], Any]:
    """Read what an OpenAI-compatible gateway logs: request.messages, request.tools, response.choices[0].message."""
    request, response = (unpacked(data.get(names[name])) for name in ("request", "response"))
    listed = request.get("messages") if isinstance(request, dict) else None
    if not isinstance(request, dict) or not isinstance(listed, list):
        raise BadRow("not of the form", f"the request has no messages: {request!r:.60}", AS_OTHERS)
    choices = response.get("choices") if isinstance(response, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
        raise BadRow("no answer", f"the response has no message: {response!r:.60}", "leave it out")
    if choice.get("finish_reason") == "length":
        raise BadRow("the answer was cut off", "the answer was cut off (finish_reason is length)", "leave it out")
    return [*listed, choice["message"]], request.get("tools", request.get("functions"))


def feedback_of(data: Data, column: str) -> bool | None:
    """Give whether a captured answer was liked; None without a judgement. Raises BadRow for one not understood.

    Understood are up and down, truths, numbers (above 0 is liked), and an object that holds one of these.
    """
    given = data.get(column)
    if isinstance(given, dict):
        given = next((given[key] for key in ("score", "value", "rating", "thumb") if key in given), given)
    if given is None or given == "":
        return None
    if isinstance(given, int | float) and not isinstance(given, bool):
        return given > 0
    written = LIKED.get(given.strip().lower()) if isinstance(given, str) else None
    liked = truth_of(given) if written is None else written
    if liked is None:
        raise BadRow("feedback not understood", f"{column} is {given!r:.60}", "write up or down, or a number")
    return liked


def is_liked(data: Data, names: Names) -> bool:
    """Tell whether a row is to be learned: captured answers that were disliked are not."""
    return "request" not in names or feedback_of(data, "feedback") is not False


def system_of(data: Data, column: str | None, spec: SetSpec) -> Any:
    """Give the row's own system prompt, else the set's."""
    own = data.get(column) if column else None
    text = text_of(own)
    return spec.system if text is not None and not text.strip() else own


def _chat(turns: Sequence[Any], system: Any, tools: Any) -> Fields:
    listed = tools_of(tools)
    return {"messages": messages_of(turns, system, listed), **({"tools": listed} if listed else {})}


def _history(data: Data, column: str | None) -> list[Turn]:
    history = (unpacked(data.get(column)) if column else None) or []
    if not isinstance(history, list):
        raise BadRow("not of the form", f"{column} is {history!r:.60}, not a list", AS_OTHERS)
    turns: list[Turn] = []
    for pair in history:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadRow("not of the form", f"{column} holds {pair!r:.60}, not [question, answer]", AS_OTHERS)
        turns += [turn("user", pair[0]), turn("assistant", pair[1])]
    return turns


AS_OTHERS = "write the row as the others are"
