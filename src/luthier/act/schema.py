"""Schemas of arguments: closed and bounded for the grammar that holds a model to them, checked in full after."""

from collections.abc import Mapping, Sequence
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from luthier.act.tool import CallError, Tool
from luthier.errors import SpecError

LONGEST_TEXT = 400
MOST_ITEMS = 20
LARGEST = 10**15
"""Bounds where a schema sets none: a small model may not find the end of a text, a list or a number."""
DEEPEST = 12

Schema = dict[str, Any]
KEPT = ("type", "enum", "const", "required", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems")
"""What goes into the grammar as it is."""


def call_schema(tools: Sequence[Tool], others: Sequence[str] = ()) -> Schema:
    """Give the schema of one decision: a tool with its arguments, or one of `others`, words without arguments."""
    calls = [_object({"tool": {"const": tool.name}, "arguments": bounded(tool.parameters)}) for tool in tools]
    words = [_object({"tool": {"const": word}}) for word in others]
    return {"anyOf": [*calls, *words]} if len(calls) + len(words) > 1 else (calls or words)[0]


def chosen_schema(names: Sequence[str]) -> Schema:
    """Give the schema of a plan: some of the names."""
    listed = {"type": "array", "items": {"enum": list(names)}, "maxItems": min(len(names), MOST_ITEMS)}
    return _object({"tools": listed})


def _object(properties: Schema) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def bounded(schema: Mapping[str, Any], depth: int = 0) -> Schema:
    """Give what a grammar can hold a model to: no open keys, no endless texts; what is dropped is checked later."""
    if depth > DEEPEST or not isinstance(schema, Mapping):
        return {"type": ["string", "number", "boolean", "null"], "maxLength": LONGEST_TEXT}
    if "enum" in schema or "const" in schema:
        return {key: schema[key] for key in ("enum", "const") if key in schema}
    for key in ("anyOf", "oneOf"):
        if schema.get(key):
            return {"anyOf": [bounded(inner, depth + 1) for inner in schema[key]]}
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return {"anyOf": [bounded({**schema, "type": kind}, depth + 1) for kind in kinds]}
    made = {key: schema[key] for key in KEPT if key in schema}
    return made | ADDED.get(str(kinds), _anything)(schema, depth)


def _of_object(schema: Mapping[str, Any], depth: int) -> Schema:
    known = {name: bounded(inner, depth + 1) for name, inner in schema.get("properties", {}).items()}
    required = [name for name in schema.get("required", ()) if name in known]
    free = schema.get("additionalProperties")
    others: Any = bounded(free, depth + 1) if isinstance(free, Mapping) and free else False
    return {"properties": known, "required": required, "additionalProperties": others}


def _of_array(schema: Mapping[str, Any], depth: int) -> Schema:
    items = bounded(schema.get("items") or {}, depth + 1)
    return {"items": items, "maxItems": min(schema.get("maxItems", MOST_ITEMS), MOST_ITEMS)}


def _of_text(schema: Mapping[str, Any], depth: int) -> Schema:
    return {"maxLength": min(schema.get("maxLength", LONGEST_TEXT), LONGEST_TEXT)}


def _of_number(schema: Mapping[str, Any], depth: int) -> Schema:
    return {"minimum": schema.get("minimum", -LARGEST), "maximum": schema.get("maximum", LARGEST)}


def _anything(schema: Mapping[str, Any], depth: int) -> Schema:
    if "properties" in schema:
        return {"type": "object"} | _of_object(schema, depth)
    if schema.get("type") in ("boolean", "null"):
        return {}
    simple = [{"type": kind} for kind in ("string", "number", "boolean", "null")]
    return {"anyOf": [bounded(kind, depth + 1) for kind in simple]}


ADDED = {"object": _of_object, "array": _of_array, "string": _of_text, "number": _of_number, "integer": _of_number}
"""Type -> what is added or bounded."""


def check_schema(tool: Tool, where: str) -> None:
    """Raise SpecError if a tool's parameters are no schema of an object."""
    try:
        Draft202012Validator.check_schema(dict(tool.parameters))
    except SchemaError as error:
        raise SpecError(
            f"the parameters of {tool.name} are no JSON Schema: {error.message[:200]}",
            where=where,
            mend="mend the schema where it comes from, or leave the tool out",
        ) from None


def check_arguments(tool: Tool, arguments: Mapping[str, Any]) -> None:
    """Raise CallError with the first thing that is wrong with the arguments of a call. Nothing is fetched for it."""
    validator = Draft202012Validator(dict(tool.parameters), registry=Registry())
    try:
        error = best_match(validator.iter_errors(dict(arguments)))
    except (Unresolvable, RecursionError) as problem:
        raise _refusal(tool, "", f"its schema cannot be followed: {problem}") from None
    if error is not None:
        raise _refusal(tool, ".".join(map(str, error.absolute_path)), error.message[:200])


def _refusal(tool: Tool, key: str, what: str) -> CallError:
    place = f", key {key}" if key else ""
    known = ", ".join(tool.parameters.get("properties", {})) or "nothing"
    return CallError(what, where=f"arguments of {tool.name}{place}", mend=f"it takes: {known}")
