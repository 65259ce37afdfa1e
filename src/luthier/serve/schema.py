"""JSON Schemas of requests: refused before they wait if no value can meet them, or if they are none."""

import json
from collections.abc import Iterator
from typing import Any

from luthier.serve.refusal import RefusedError

TYPES = {"null", "boolean", "object", "array", "number", "string", "integer"}
DEEPEST = 64
BOUNDS = (
    ("minimum", "maximum"),
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def check_schema(text: str, parameter: str) -> None:
    """Raise RefusedError: 400 for what is no JSON Schema, 422 for one that no value can meet.

    What is found is what stands in one place; a contradiction between places is the engine's to find.
    """
    schema = json.loads(text)
    for place, part in _parts(schema, "", 0):
        wrong = _malformed(part)
        if wrong or place.count("/") > DEEPEST:
            raise _refused(wrong or f"is nested deeper than {DEEPEST}", place, parameter, 400)
    why = _unmeetable(schema)
    if why:
        raise _refused(f"cannot be met: {why}", "", parameter, 422)


def _refused(what: str, place: str, parameter: str, status: int) -> RefusedError:
    return RefusedError(
        f"the schema{f' at {place}' if place else ''} {what}",
        where=f"request body, key {parameter}",
        mend="send a JSON Schema that some value meets",
        status=status,
        code="invalid_json_schema",
    )


def _parts(schema: Any, place: str, depth: int) -> Iterator[tuple[str, Any]]:
    yield place, schema
    if not isinstance(schema, dict) or depth > DEEPEST + 1:
        return
    for name in ("properties", "$defs", "definitions", "patternProperties"):
        inner = schema.get(name)
        for key, value in inner.items() if isinstance(inner, dict) else ():
            yield from _parts(value, f"{place}/{name}.{key}", depth + 1)
    for name in ("anyOf", "oneOf", "allOf", "prefixItems"):
        rows = schema.get(name)
        for index, value in enumerate(rows if isinstance(rows, list) else ()):
            yield from _parts(value, f"{place}/{name}.{index}", depth + 1)
    for name in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(name), dict):
            yield from _parts(schema[name], f"{place}/{name}", depth + 1)


def _malformed(schema: Any) -> str:
    """Give what makes it no JSON Schema."""
    if isinstance(schema, bool):
        return ""
    if not isinstance(schema, dict):
        return f"is {json.dumps(schema)[:60]}, not an object"
    kinds = schema.get("type", [])
    named = kinds if isinstance(kinds, list) else [kinds]
    odd = next((kind for kind in named if not isinstance(kind, str) or kind not in TYPES), None)
    if odd is not None:
        return f"has the type {json.dumps(odd)}, which JSON does not have"
    for name, form in (("properties", dict), ("required", list), ("enum", list), ("anyOf", list), ("allOf", list)):
        if name in schema and not isinstance(schema[name], form):
            return f"has {name} that is no {'object' if form is dict else 'list'}"
    return ""


def _unmeetable(schema: Any) -> str:
    """Give why no value can meet it; '' where that is not seen."""
    if schema is False:
        return "it is `false`"
    if not isinstance(schema, dict):
        return ""
    if schema.get("enum") == [] or schema.get("type") == []:
        return "it allows none of no values"
    for least, most in BOUNDS:
        low, high = schema.get(least), schema.get(most)
        if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
            return f"{least} is {low}, {most} is {high}"
    return _unmeetable_inside(schema)


def _unmeetable_inside(schema: dict[str, Any]) -> str:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        why = _unmeetable(properties.get(name, schema.get("additionalProperties", True)))
        if why and schema.get("type", "object") == "object":
            return f"{name} is required, and {why}"
    for name in ("anyOf", "oneOf"):
        choices = schema.get(name)
        if isinstance(choices, list) and all(_unmeetable(choice) for choice in choices):
            return f"no choice of {name} can be met"
    for choice in schema.get("allOf", ()):
        if why := _unmeetable(choice):
            return why
    return ""
