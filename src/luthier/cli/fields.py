"""A spec's fields as text: for the terminal's help and the generated reference."""

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, SecretStr
from pydantic_core import PydanticUndefined

from luthier.spec import Spec


@dataclass(frozen=True)
class Field:
    """One setting."""

    key: str
    type: str
    default: str
    about: str


def fields(kind: type[BaseModel], before: str = "") -> Iterator[Field]:
    """Give every setting of a spec, those of inner specs as `learn.rate`."""
    for name, field in kind.model_fields.items():
        key = f"{before}{name}"
        inner = field.annotation
        if isinstance(inner, type) and not isinstance(inner, types.GenericAlias) and issubclass(inner, Spec):
            yield from fields(inner, f"{key}.")
            continue
        about = " ".join((field.description or "").split())
        yield Field(key, type_name(field.annotation), _default(field.get_default(call_default_factory=True)), about)


def field_lines(kind: type[BaseModel]) -> list[tuple[str, str]]:
    """Give (key=default, meaning) for the terminal."""
    return [(f"{field.key}={field.default}", field.about) for field in fields(kind)]


def type_name(annotation: Any) -> str:
    """Write a type as a person would: `number`, `text`, `a | b`."""
    if annotation in NAMES:
        return NAMES[annotation]
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return type_name(inner[0])
    if origin is typing.Literal:
        return " | ".join(str(value) for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_name(part) for part in inner))
    if origin in (tuple, list):
        return f"list of {type_name(inner[0])}"
    if origin is dict or origin is not None:
        return f"{type_name(inner[0])}: {type_name(inner[1])}, ..." if len(inner) == 2 else str(origin)
    return str(getattr(annotation, "__name__", annotation))


NAMES: dict[Any, str] = {
    int: "whole number",
    float: "number",
    str: "text",
    SecretStr: "text",
    bool: "true | false",
    type(None): "nothing",
    Any: "anything",
}


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "(needed)"
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple | list):
        return f"[{', '.join(_default(part) for part in value)}]"
    return str(value)
