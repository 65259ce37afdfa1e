"""From an operation to the arguments a model gives, and from arguments to the request that is sent."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, urlencode

from luthier.act.document import LONGEST_ABOUT, Document, Operation
from luthier.act.tool import CallError
from luthier.act.web import Request
from luthier.errors import SpecError

Place = Literal["path", "query", "header", "cookie", "body"]
NOT_THE_MODELS = frozenset({"accept", "authorization", "content-type", "cookie", "host", "content-length"})
"""Headers that no argument sets: OpenAPI says so of the first three."""
BODIES = ("application/json", "application/x-www-form-urlencoded", "text/plain")
"""Kinds of bodies that can be sent, the best first."""
SEPARATORS = {
    "form": ",",
    "simple": ",",
    "spaceDelimited": " ",
    "pipeDelimited": "|",
    "csv": ",",
    "ssv": " ",
    "pipes": "|",
}


@dataclass(frozen=True)
class Parameter:
    """One argument, and where it goes."""

    argument: str
    name: str
    place: Place
    schema: Mapping[str, Any]
    is_required: bool
    style: str = "form"
    explodes: bool = True
    media: str = ""
    """Of a body: its kind."""


def parameters_of(document: Document, operation: Operation) -> list[Parameter]:
    """Give what an operation takes. Raises SpecError for a body of a kind that cannot be sent."""
    listed: dict[tuple[str, str], Mapping[str, Any]] = {}
    for source in (operation.item, operation.body):
        for entry in source.get("parameters") or ():
            found = document.mapping(entry, f"{operation.spelled[1]}, parameters")
            listed[str(found.get("name", "")), str(found.get("in", ""))] = found
    made: list[Parameter] = []
    for (name, place), entry in listed.items():
        if place in ("path", "query", "cookie") or (place == "header" and name.lower() not in NOT_THE_MODELS):
            made.append(_parameter(document, entry, name, place, {parameter.argument for parameter in made}))
    body = _old_body(document, operation, listed) if document.is_old else _body(document, operation)
    taken = {parameter.argument for parameter in made}
    return [*made, *([body] if body and "body" not in taken else [])]


def _parameter(document: Document, entry: Mapping[str, Any], name: str, place: Any, taken: set[str]) -> Parameter:
    schema = document.schema(_schema_of(entry))
    about = entry.get("description")
    if isinstance(about, str) and about.strip():
        schema["description"] = " ".join(about.split())[:LONGEST_ABOUT]
    style = str(
        entry.get("style") or entry.get("collectionFormat") or ("form" if place in ("query", "cookie") else "simple")
    )
    explodes = (
        entry.get("explode", style in ("form", "deepObject") and "collectionFormat" not in entry) or style == "multi"
    )
    argument = f"{name}_{place}" if name in (*taken, "body") else name
    return Parameter(
        argument, name, place, schema, place == "path" or bool(entry.get("required")), style, bool(explodes)
    )


def _schema_of(entry: Mapping[str, Any]) -> Any:
    if "schema" in entry:
        return entry["schema"]
    content = entry.get("content")
    if isinstance(content, dict) and content:
        return next(iter(content.values())).get("schema", {})
    return {key: value for key, value in entry.items() if key not in ("name", "in", "required", "description")}


def _body(document: Document, operation: Operation) -> Parameter | None:
    if "requestBody" not in operation.body:
        return None
    place = f"{operation.spelled[1]}, requestBody"
    body = document.mapping(operation.body["requestBody"], place)
    content = document.mapping(body.get("content"), place)
    for media in (*BODIES, *(kind for kind in content if str(kind).partition(";")[0].endswith("+json"))):
        if media in content:
            schema = document.schema(document.mapping(content[media], place).get("schema", {}))
            return Parameter("body", "body", "body", schema, bool(body.get("required")), media=str(media))
    if not body.get("required"):
        return None
    raise SpecError(
        f"{operation.name} wants a body of the kind {', '.join(map(str, content))}",
        where=f"{document.where}, {place}",
        mend=f"leave the operation out: only {', '.join(BODIES)} can be sent",
    )


def _old_body(document: Document, operation: Operation, listed: Mapping[tuple[str, str], Any]) -> Parameter | None:
    """Version 2 writes the body, and the fields of a form, among the parameters."""
    fields = {name: entry for (name, place), entry in listed.items() if place == "formData"}
    if fields:
        schema = {
            "type": "object",
            "properties": {name: document.schema(_schema_of(entry)) for name, entry in fields.items()},
            "required": [name for name, entry in fields.items() if entry.get("required")],
        }
        return Parameter("body", "body", "body", schema, bool(schema["required"]), media=BODIES[1])
    for (_, place), entry in listed.items():
        if place == "body":
            schema = document.schema(entry.get("schema", {}))
            return Parameter("body", "body", "body", schema, bool(entry.get("required")), media=BODIES[0])
    return None


def schema_of(parameters: list[Parameter]) -> dict[str, Any]:
    """Give the schema of the arguments."""
    return {
        "type": "object",
        "properties": {parameter.argument: dict(parameter.schema) for parameter in parameters},
        "required": [parameter.argument for parameter in parameters if parameter.is_required],
        "additionalProperties": False,
    }


def request_of(
    method: str, server: str, path: str, parameters: list[Parameter], arguments: Mapping[str, Any]
) -> Request:
    """Give the request for a call. Raises CallError for a value that no address can carry."""
    query: list[tuple[str, str]] = []
    headers = {"Accept": "application/json, text/*;q=0.9, */*;q=0.1"}
    cookies: list[str] = []
    body = b""
    for parameter in parameters:
        if parameter.argument not in arguments or arguments[parameter.argument] is None:
            continue
        value = arguments[parameter.argument]
        if parameter.place == "path":
            path = path.replace("{" + parameter.name + "}", _segment(parameter, value))
        elif parameter.place == "query":
            query += _pairs(parameter, value)
        elif parameter.place == "header":
            headers[parameter.name] = _header(parameter, value)
        elif parameter.place == "cookie":
            cookies.append(f"{quote(parameter.name)}={quote(_joined(parameter, value))}")
        else:
            headers["Content-Type"], body = parameter.media, _written(parameter.media, value)
    if cookies:
        headers["Cookie"] = "; ".join(cookies)
    asked = f"?{urlencode(query, quote_via=quote)}" if query else ""
    return Request(method, f"{server.rstrip('/')}/{path.lstrip('/')}{asked}", headers, body)


def _segment(parameter: Parameter, value: Any) -> str:
    text = _joined(parameter, value)
    if text in ("", ".", ".."):
        raise CallError(
            f"{text!r} cannot stand in the path", where=f"argument {parameter.argument}", mend="give another value"
        )
    return quote(text, safe=",")


def _header(parameter: Parameter, value: Any) -> str:
    text = _joined(parameter, value)
    if not text.isprintable():
        raise CallError(
            "a line break cannot stand in a header", where=f"argument {parameter.argument}", mend="give plain text"
        )
    return text


def _pairs(parameter: Parameter, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, dict) and parameter.style == "deepObject":
        return [(f"{parameter.name}[{key}]", _text(inner)) for key, inner in value.items()]
    if isinstance(value, dict) and parameter.explodes:
        return [(str(key), _text(inner)) for key, inner in value.items()]
    if isinstance(value, list) and parameter.explodes:
        return [(parameter.name, _text(inner)) for inner in value]
    return [(parameter.name, _joined(parameter, value))]


def _joined(parameter: Parameter, value: Any) -> str:
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if isinstance(value, list):
        return SEPARATORS.get(parameter.style, ",").join(map(_text, value))
    return _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _written(media: str, value: Any) -> bytes:
    if media == BODIES[1] and isinstance(value, dict):
        return urlencode({key: _text(inner) for key, inner in value.items()}).encode()
    if media == BODIES[2] and isinstance(value, str):
        return value.encode()
    return json.dumps(value, ensure_ascii=False).encode()
