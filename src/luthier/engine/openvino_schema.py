"""Which JSON Schemas openvino-genai keeps to the letter: its own grammars (xgrammar) pass over the others in silence.

Found by 24 drawn answers for each keyword, held against jsonschema: bounds of a `number` gave what is no JSON at all,
`multipleOf`, `allOf` and a second keyword beside `enum`, `const`, `$ref` or `anyOf` were left out.
"""

from collections.abc import Iterator, Mapping
from typing import Any

WORDS = frozenset({"title", "description", "default", "examples", "$schema", "$id", "$defs", "definitions", "$comment"})
"""What says nothing of the value."""
ALONE = frozenset({"enum", "const", "$ref", "anyOf"})
"""What is kept only where nothing else bounds the value."""
KEPT: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "prefixItems", "minItems", "maxItems"}),
    "string": frozenset({"minLength", "maxLength", "pattern"}),
    "integer": frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"}),
    "number": frozenset(),
    "boolean": frozenset(),
    "null": frozenset(),
}
"""Type -> the keywords that are kept for it."""


def not_kept(schema: Any) -> str:
    """Give the first keyword of a schema that would be passed over, '' if all are kept."""
    if not isinstance(schema, Mapping):
        return ""
    here = {key for key in schema if key not in WORDS}
    alone = here & ALONE
    if alone:
        lost = sorted(here - alone - {"type"}) or sorted(alone)[1:] or ("type" in here and _mixed(schema))
        if lost:
            return str(lost[0])
    elif here:
        kinds = schema.get("type")
        names = kinds if isinstance(kinds, list) else [kinds]
        kept = frozenset().union(*(KEPT.get(str(name), frozenset()) for name in names))
        lost = sorted(here - kept - {"type"})
        if lost:
            return lost[0]
    return next((found for part in _parts(schema) if (found := not_kept(part))), "")


def _mixed(schema: Mapping[str, Any]) -> list[str]:
    """`type` beside `enum` is passed over: it matters only where a value is of another type."""
    types: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool}
    kind = types.get(str(schema["type"]))
    values = schema.get("enum", [schema.get("const")])
    fits = kind is not None and all(isinstance(v, kind) and (kind is bool or not isinstance(v, bool)) for v in values)
    return [] if fits else ["type"]


def _parts(schema: Mapping[str, Any]) -> Iterator[Any]:
    for key in ("properties", "$defs", "definitions"):
        yield from (schema.get(key) or {}).values()
    for key in ("anyOf", "prefixItems"):
        yield from schema.get(key) or ()
    yield from (schema[key] for key in ("items", "additionalProperties") if key in schema)
