"""What a request holds that nobody here knows: left alone, as OpenAI's clients expect, and told by name."""

import typing
from typing import Any

from luthier.spec import Spec


def known_only(kind: type[Spec], data: dict[str, Any], place: str = "") -> tuple[dict[str, Any], list[str]]:
    """Give the data without the keys its spec does not have, at any depth, and the names of those keys."""
    kept: dict[str, Any] = {}
    ignored: list[str] = []
    fields = {field.alias or name: field for name, field in kind.model_fields.items()}
    for key, value in data.items():
        field = fields.get(key)
        if field is None:
            ignored.append(f"{place}{key}")
            continue
        inner = _spec_in(field.annotation)
        kept[key] = value if inner is None else _inside(inner, value, f"{place}{key}", ignored)
    return kept, ignored


def _inside(kind: type[Spec], value: Any, place: str, ignored: list[str]) -> Any:
    if isinstance(value, list):
        return [_inside(kind, inner, f"{place}.{index}", ignored) for index, inner in enumerate(value)]
    if isinstance(value, dict):
        kept, names = known_only(kind, value, f"{place}.")
        ignored += names
        return kept
    return value


def _spec_in(annotation: Any) -> type[Spec] | None:
    """Give the spec that a field's values, or the members of its list, are of."""
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return annotation
    return next((found for inner in typing.get_args(annotation) if (found := _spec_in(inner)) is not None), None)
