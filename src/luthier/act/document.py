"""OpenAPI documents: read (JSON or YAML, versions 2 and 3), their references followed, cycles and bombs survived."""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from luthier.errors import SpecError

MOST_BYTES = 20_000_000
MOST_HOPS = 50
"""References that lead to references: more are a circle."""
MOST_NODES = 5_000
"""Of one schema, written out."""
LONGEST_ABOUT = 300
METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
KEPT = (
    "type", "enum", "const", "default", "format", "pattern", "required", "minimum", "maximum",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "multipleOf",
)  # fmt: skip
"""What of a schema says which values are right; examples, titles and the like are left out."""


@dataclass(frozen=True)
class Operation:
    """One thing an API can do."""

    name: str
    """Its operationId, or `GET /path`."""
    method: str
    path: str
    item: Mapping[str, Any]
    """What stands under the path."""
    body: Mapping[str, Any]
    """What stands under the method."""

    @property
    def spelled(self) -> tuple[str, str]:
        """What it may be called by: its operationId, and `GET /path`."""
        return self.name, f"{self.method} {self.path}"


class Document:
    """One OpenAPI document."""

    def __init__(self, root: Mapping[str, Any], where: str) -> None:
        self.root = root
        self.where = where

    @property
    def is_old(self) -> bool:
        """Whether it is of version 2 (Swagger)."""
        return "swagger" in self.root

    def operations(self) -> Iterator[Operation]:
        """Give every operation, in the document's order."""
        for path, item in self.mapping(self.root.get("paths"), "paths").items():
            found = self.mapping(item, f"paths, {path}")
            for method in METHODS:
                if method in found:
                    body = self.mapping(found[method], f"paths, {path}, {method}")
                    name = str(body.get("operationId") or f"{method.upper()} {path}")
                    yield Operation(name, method.upper(), str(path), found, body)

    def mapping(self, value: Any, place: str) -> Mapping[str, Any]:
        """Give what a value holds, its reference followed. Raises SpecError if it is no mapping."""
        found = self.follow(value if value is not None else {})
        if not isinstance(found, dict):
            raise SpecError(
                f"it holds {type(found).__name__}, not keys", where=f"{self.where}, {place}", mend="mend the document"
            )
        return found

    def follow(self, value: Any) -> Any:
        """Give what a reference stands for, at last. Raises SpecError if it leads nowhere, outside, or in a circle."""
        hops = 0
        while isinstance(value, dict) and isinstance(value.get("$ref"), str):
            hops += 1
            if hops > MOST_HOPS:
                raise self._lost(value["$ref"], "leads in a circle")
            value = self._target(value["$ref"])
        return value

    def _target(self, reference: str) -> Any:
        if not reference.startswith("#"):
            raise self._lost(reference, "leads out of the document")
        found: Any = self.root
        for part in reference.removeprefix("#").strip("/").split("/") if reference not in ("#", "#/") else ():
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise self._lost(reference, "leads nowhere")
        return found

    def _lost(self, reference: str, what: str) -> SpecError:
        return SpecError(
            f"the reference {reference!r} {what}",
            where=self.where,
            mend="mend it, or put what it names into the document (#/components/...)",
        )

    def schema(self, value: Any) -> dict[str, Any]:
        """Give a schema written out, without references; where one leads back into itself, anything may stand."""
        return _Writer(self).write(value, ())


class _Writer:
    """Writes one schema out, and counts."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.nodes = 0

    def write(self, value: Any, opened: tuple[int, ...]) -> dict[str, Any]:
        self.nodes += 1
        if self.nodes > MOST_NODES:
            raise SpecError(
                f"a schema has more than {MOST_NODES} parts once its references are followed",
                where=self.document.where,
                mend="choose operations that take less (operations=[...])",
            )
        beside = {key: inner for key, inner in value.items() if key != "$ref"} if isinstance(value, dict) else {}
        found = self.document.follow(value)
        if not isinstance(found, dict):
            return {}
        if id(found) in opened:
            return {"description": "of the same form again"}
        return self._parts({**found, **beside} if found is not value else found, (*opened, id(found)))

    def _parts(self, schema: Mapping[str, Any], opened: tuple[int, ...]) -> dict[str, Any]:
        made = {key: schema[key] for key in KEPT if key in schema}
        about = schema.get("description")
        if isinstance(about, str) and about.strip():
            made["description"] = " ".join(about.split())[:LONGEST_ABOUT]
        properties = schema.get("properties")
        if isinstance(properties, dict):
            written = {str(name): self.write(inner, opened) for name, inner in properties.items()}
            hidden = {name for name, inner in properties.items() if _is_read_only(self.document.follow(inner))}
            made["properties"] = {name: inner for name, inner in written.items() if name not in hidden}
            made["required"] = [name for name in _names(schema.get("required")) if name not in hidden]
            made.setdefault("type", "object")
        for key in ("items", "additionalProperties", "not"):
            if isinstance(schema.get(key), dict):
                made[key] = self.write(schema[key], opened)
        if schema.get("additionalProperties") is False:
            made["additionalProperties"] = False
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                made[key] = [self.write(inner, opened) for inner in schema[key]]
        for inner in schema.get("allOf") or ():
            _join(made, self.write(inner, opened))
        return _newer(made, schema)


def _is_read_only(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("readOnly") is True


def _names(value: Any) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []


def _join(made: dict[str, Any], other: Mapping[str, Any]) -> None:
    """Lay one part of an `allOf` over what is there: all properties, all that is required."""
    for key, value in other.items():
        if key == "properties":
            made[key] = {**made.get(key, {}), **value}
        elif key == "required":
            made[key] = list(dict.fromkeys([*made.get(key, []), *value]))
        else:
            made.setdefault(key, value)


def _newer(made: dict[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Write what version 3.0 has in words of its own as JSON Schema has it."""
    if not isinstance(made.get("required", []), list):
        del made["required"]  # version 2 and 3.0 parameters: `required: true`
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if schema.get(exclusive) is True and bound in made:
            made[exclusive] = made.pop(bound)
        elif isinstance(schema.get(exclusive), int | float) and not isinstance(schema.get(exclusive), bool):
            made[exclusive] = schema[exclusive]
    if schema.get("nullable") is True and isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if "enum" in made:
            made["enum"] = [*made["enum"], None]
    return made


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without dates: `2024-01-01` is text, as in JSON."""

    yaml_implicit_resolvers: ClassVar = {
        letter: [(tag, pattern) for tag, pattern in rows if tag != "tag:yaml.org,2002:timestamp"]
        for letter, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_document(path: Path) -> Document:
    """Read an OpenAPI document. Raises SpecError if it is missing, too large, no JSON or YAML, or no OpenAPI."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise SpecError(
                f"the document has {path.stat().st_size:,} bytes", where=str(path), mend=f"keep to {MOST_BYTES:,}"
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"the OpenAPI document cannot be read: {type(error).__name__}",
            where=str(path),
            mend="give the path of a JSON or YAML file; one on the web is saved first: curl -o api.json URL",
        ) from None
    root = _parse(text, path)
    if not isinstance(root, dict) or not ("openapi" in root or "swagger" in root) or "paths" not in root:
        raise SpecError(
            "the file is no OpenAPI document: it has no `openapi` (or `swagger`) and `paths`",
            where=str(path),
            mend="give the document the API publishes, often /openapi.json",
        )
    return Document(root, str(path))


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text) if text.lstrip().startswith("{") else yaml.load(text, _Loader)
    except (ValueError, yaml.YAMLError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", getattr(error, "lineno", 1) - 1) + 1
        problem = str(getattr(error, "problem", None) or getattr(error, "msg", error))
        raise SpecError(f"not JSON or YAML: {problem}", where=f"{path}:{line}", mend="mend that line") from None
    except RecursionError:
        raise SpecError("it nests without end", where=str(path), mend="remove the alias inside what it names") from None


def choose(document: Document, wanted: tuple[str, ...]) -> list[Operation]:
    """Give the operations that are wanted by operationId or `GET /path`; without any, all that only read.

    Raises SpecError for one that is not there, with the nearest that is.
    """
    known = list(document.operations())
    if not wanted:
        return [operation for operation in known if operation.method == "GET"]
    names = {name: operation for operation in reversed(known) for name in operation.spelled}
    for name in wanted:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            listed = ", ".join(operation.name for operation in known[:20])
            raise SpecError(
                f"the API has no operation {name!r}",
                where=f"{document.where}, key operations",
                mend=f"did you mean {near[0]!r}?" if near else f"it has: {listed}",
            )
    return [names[name] for name in wanted]
