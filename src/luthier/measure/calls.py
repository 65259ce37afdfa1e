"""Function calls: read out of what a model said, and held against the calls that are allowed.

What is right follows the checker of the Berkeley Function Calling Leaderboard (Patil et al. 2025, AST evaluation): the
expected functions and no others, in any order; each argument one of the allowed values; an argument may be missing
where "" is allowed; strings are compared without case, blanks and light punctuation.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

LIGHT = re.compile(r"[ ,./\-_*^]")
TYPES = {"dict": "object", "float": "number", "tuple": "array", "list": "array", "int": "integer", "str": "string",
         "bool": "boolean", "any": ""}  # fmt: skip
"""Python's names for the types of parameters, and JSON Schema's."""

Call = tuple[str, Mapping[str, Any]]


def are_right(answer: str, reference: str) -> float:
    """Give 1 if the calls in an answer are the expected ones, else 0.

    `reference` is JSON: [{name: {argument: [allowed, ...]}}, ...]; an empty list: nothing may be called.
    """
    said, wanted = read_calls(answer), list(json.loads(reference))
    if len(said) != len(wanted):
        return 0.0
    for expected in wanted:
        match = next((call for call in said if _fits(call, expected)), None)
        if match is None:
            return 0.0
        said.remove(match)
    return 1.0


def read_calls(text: str) -> list[Call]:
    """Give the calls in a text: JSON with `name` and `arguments`, or Python's `f(a=1)`, alone or in a list."""
    found = list(_json_calls(text))
    return found or _python_calls(text)


def call_in(value: Any) -> Call:
    """Give the call that a JSON value is: `name` with `arguments` (or `parameters`), perhaps below `function`.

    Arguments may be written as a text; none are an empty object. Raises ValueError, which says what is amiss.
    """
    function = value.get("function", value) if isinstance(value, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise ValueError("the call has no name")
    arguments = function.get("arguments", function.get("parameters"))
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    if not isinstance(arguments, dict | None):
        raise ValueError(f"the arguments of {function['name']} are no JSON object")
    return function["name"], arguments or {}


def tool_of(function: Mapping[str, Any]) -> dict[str, Any]:
    """Give a function's description in OpenAI's form, its parameters' types in JSON Schema's words."""
    if function.get("type") == "function":
        return dict(function)
    return {"type": "function", "function": {**function, "parameters": _schema(function.get("parameters", {}))}}


def _json_calls(text: str) -> Iterator[Call]:
    decoder = json.JSONDecoder()
    place = 0
    while begin := re.compile(r"[\[{]").search(text, place):
        try:
            value, place = decoder.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            place = begin.end()
            continue
        for one in value if isinstance(value, list) else [value]:
            yield from _json_call(one)


def _json_call(value: Any) -> Iterator[Call]:
    with suppress(ValueError):
        yield call_in(value)


def _python_calls(text: str) -> list[Call]:
    try:
        body = ast.parse(text.strip().strip("`"), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    nodes = body.elts if isinstance(body, ast.List) else [body]
    found: list[Call] = []
    for node in nodes:
        if not isinstance(node, ast.Call) or node.args:
            return []
        try:
            arguments = {str(word.arg): ast.literal_eval(word.value) for word in node.keywords if word.arg}
        except ValueError:
            return []
        found.append((ast.unparse(node.func), arguments))
    return found


def _fits(call: Call, expected: Mapping[str, Mapping[str, Sequence[Any]]]) -> bool:
    name, arguments = call
    [(wanted, allowed)] = expected.items()
    if name.replace(".", "_") != wanted.replace(".", "_"):  # many servers allow no dot in a name
        return False
    return _arguments_fit(arguments, allowed)


def _arguments_fit(given: Mapping[str, Any], allowed: Mapping[str, Sequence[Any]]) -> bool:
    if not given.keys() <= allowed.keys():
        return False
    missing = allowed.keys() - given.keys()
    return all("" in allowed[name] for name in missing) and all(
        any(_equal(value, one) for one in allowed[name]) for name, value in given.items()
    )


def _equal(value: Any, allowed: Any) -> bool:
    if isinstance(value, str) and isinstance(allowed, str):
        return _bare(value) == _bare(allowed)
    if isinstance(value, Mapping) and isinstance(allowed, Mapping):
        lists = {name: options if isinstance(options, list) else [options] for name, options in allowed.items()}
        return _arguments_fit(value, lists)
    if isinstance(value, list | tuple) and isinstance(allowed, list | tuple):
        return len(value) == len(allowed) and all(map(_equal, value, allowed))
    if isinstance(value, bool) or isinstance(allowed, bool):  # Python takes True for 1
        return value is allowed
    return bool(value == allowed)


def _bare(text: str) -> str:
    return LIGHT.sub("", text).lower().replace("'", '"')


def _schema(value: Any) -> Any:
    if isinstance(value, list):
        return [_schema(inner) for inner in value]
    if not isinstance(value, dict):
        return value
    found = {name: _schema(inner) for name, inner in value.items()}
    kind = found.get("type")
    if isinstance(kind, str) and kind in TYPES:
        found["type"] = TYPES[kind]
        if not TYPES[kind]:
            del found["type"]
    return found
