"""Specs: what one may ask, frozen and closed; read from YAML and `key.sub=value`.

An unknown key names the nearest known one; a wrong value names the file, the line and the key.
"""

import difflib
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from luthier.errors import SpecError

Key = tuple[str | int, ...]
"""A path into nested settings: ("learn", "rate")."""


class Spec(BaseModel):
    """The parent of every spec. The sentence under a field is its help text, its docs row and its web label."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


AnySpec = TypeVar("AnySpec", bound=Spec)


class Settings:
    """Plain nested data read from YAML, which knows where each key was written."""

    def __init__(self, data: dict[str, Any], places: Mapping[Key, str], source: str) -> None:
        self.data = data
        self.source = source
        self._places = dict(places)

    def place(self, key: Key) -> str:
        """Give where a key (or the nearest thing around it) was written: `file:line, key a.b`."""
        name = ".".join(str(part) for part in key)
        for length in range(len(key), 0, -1):
            if key[:length] in self._places:
                return f"{self._places[key[:length]]}, key {name}"
        return f"{self.source}, key {name}" if name else self.source

    def part(self, name: str) -> "Settings":
        """Give the settings under one key, as settings of their own."""
        inner = {key[1:]: place for key, place in self._places.items() if key[:1] == (name,)}
        return Settings(self.data[name], inner, self._places.get((name,), self.source))


def read_settings(path: Path) -> Settings:
    """Read a YAML file. Raises SpecError if it is missing, not UTF-8, not YAML, or not a mapping."""
    text = _read_text(path)
    try:
        data = yaml.safe_load(text)
        places = dict(_places(yaml.compose(text, Loader=yaml.SafeLoader), (), str(path)))
    except (yaml.YAMLError, ValueError) as error:  # ValueError: 2026-02-30 is taken for a date
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        problem = str(getattr(error, "problem", error)).partition("\n")[0]
        mend = "mend the line named above" if mark else "mend what is named above; text may stand in quotes"
        raise SpecError(f"not YAML: {problem}", where=f"{path}{line}", mend=mend) from None
    except RecursionError:
        raise SpecError(
            "the keys are nested without end", where=str(path), mend="remove the alias (*name) inside what it names"
        ) from None
    if not isinstance(data, dict):
        raise SpecError(
            "the file is empty" if data is None else f"the file holds {type(data).__name__}, not keys",
            where=str(path),
            mend="write `key: value` lines",
        )
    return Settings(data, places, str(path))


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.glob("*.y*ml")], n=1)
        mend = f"did you mean {path.parent / near[0]}?" if near else "give the path of a YAML file that exists"
        raise SpecError(f"there is no file {str(path)!r}", where=str(path.absolute()), mend=mend) from None
    except IsADirectoryError:
        raise SpecError(f"{str(path)!r} is a folder", where=str(path), mend="name a YAML file in it") from None
    except UnicodeDecodeError as error:
        raise SpecError(
            f"byte {error.start} is {error.object[error.start]:#04x}, which is not UTF-8",
            where=str(path),
            mend="save the file as UTF-8",
        ) from None


TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
"""What a key may be; YAML takes `on`, `no` and `1` for truths and numbers."""


def _places(node: yaml.Node | None, key: Key, source: str) -> Iterator[tuple[Key, str]]:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for name, value in node.value:
            place = f"{source}:{name.start_mark.line + 1}"
            if name.tag not in TEXT_TAGS:
                raise SpecError(f"the key {name.value} is not text", where=place, mend=f'write it as "{name.value}"')
            if name.value in seen:
                raise SpecError(f"the key {name.value!r} stands twice", where=place, mend="remove one of them")
            seen.add(name.value)
            yield (*key, name.value), place
            yield from _places(value, (*key, name.value), source)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*key, index), f"{source}:{value.start_mark.line + 1}"
            yield from _places(value, (*key, index), source)


def override(settings: Settings, assignments: Sequence[str]) -> Settings:
    """Lay `key.sub=value` over settings; values are read as YAML (`1e-4`, `true`, `[a, b]`, plain text)."""
    data = _copy(settings.data)
    places = dict(settings._places)
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals or not name.strip():
            raise SpecError(
                f"{assignment!r} is not key=value", where="command line", mend="write for instance learn.rate=1e-4"
            )
        keys = name.strip().split(".")
        inner = data
        for part in keys[:-1]:
            if inner.get(part) is None:  # `tune:` with nothing below it
                inner[part] = {}
            following = inner[part]
            if not isinstance(following, dict):
                raise SpecError(
                    f"{part!r} in {name!r} holds {following!r}, nothing below it can be set",
                    where="command line",
                    mend=f"set {part} itself, or another key",
                )
            inner = following
        inner[keys[-1]] = _value(text)
        places = {key: place for key, place in places.items() if key[: len(keys)] != tuple(keys)}
        places[tuple(keys)] = f"command line {assignment!r}"
    return Settings(data, places, settings.source)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


SUBJECT = re.compile(r"^(Value error, |(Input|Value|String|List|Tuple|Dictionary) )")
"""How a message of pydantic begins; the key is named before it."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d{1,2}")
"""What YAML 1.1 takes for text where a person means a number: 1e-4. A longer exponent is rather a commit's hash."""


def _value(text: str) -> Any:
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    if isinstance(value, str) and NUMBER.fullmatch(value):
        return float(value)
    return value


def build(kind: type[AnySpec], settings: Settings) -> AnySpec:
    """Make a spec of settings. Raises SpecError for the first key that is unknown or wrong."""
    try:
        return kind.model_validate(settings.data)
    except ValidationError as error:
        raise _explain(kind, settings, error) from None


def make(kind: type[AnySpec], assignments: Sequence[str] = (), file: Path | None = None) -> AnySpec:
    """Make a spec from a YAML file (or nothing) with `key.sub=value` laid over it."""
    settings = read_settings(file) if file else Settings({}, {}, "command line")
    return build(kind, override(settings, assignments))


def _explain(kind: type[Spec], settings: Settings, error: ValidationError) -> SpecError:
    problem = min(error.errors(include_url=False), key=lambda found: _rank(kind, settings.data, found))
    key = _steps(settings.data, problem["loc"])
    where = settings.place(key or problem["loc"])
    name = ".".join(str(part) for part in key)
    if problem["type"] == "extra_forbidden":
        known = sorted(_fields(kind, key[:-1]))
        if key[-1] in known:
            what = f"{name!r} does not go with the other keys beside it"
            return SpecError(what, where=where, mend=f"leave out {name}, or the others")
        near = difflib.get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
        mend = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
        return SpecError(f"unknown key {name!r}", where=where, mend=mend)
    if problem["type"] == "missing":
        name = ".".join(str(part) for part in (*key, problem["loc"][-1]))
        return SpecError(f"{name!r} is not set", where=settings.place(key), mend=f"write {name}: ...")
    message = SUBJECT.sub("", problem["msg"])
    said = message[0].lower() + message[1:]
    return SpecError(f"{name or 'the spec'} is {problem['input']!r}", where=where, mend=f"it {said}")


MAX_DEPTH = 1_000
"""Deeper than any settings: YAML of this depth is refused before."""


def _rank(kind: type[Spec], data: Any, problem: ErrorDetails) -> tuple[int, int]:
    """Unknown keys come first, then what is wrong deepest inside, there a missing key before all.

    Each member of a union complains: a key that one of them knows is not unknown, and the deepest problem is of the
    member that was meant.
    """
    key = _steps(data, problem["loc"])
    if problem["type"] == "extra_forbidden":
        return (1 - len(key), 1) if key[-1] in _fields(kind, key[:-1]) else (-MAX_DEPTH, 0)
    return -len(key), 0 if problem["type"] == "missing" else 2


def _steps(data: Any, location: Key) -> Key:
    """Keep the parts of pydantic's location which stand in the data: union member names do not."""
    steps: list[int | str] = []
    for part in location:
        inside = (isinstance(data, dict) and part in data) or (
            isinstance(data, list) and isinstance(part, int) and part < len(data)
        )
        if inside:
            steps.append(part)
            data = data[part]
    return tuple(steps)


def _fields(kind: type[Spec], key: Key) -> set[str]:
    kinds: list[type[BaseModel]] = [kind]
    for part in key:
        kinds = [inner for outer in kinds for inner in _inner_specs(outer, part)] or kinds
    return {name for found in kinds for name in found.model_fields}


def _inner_specs(kind: type[BaseModel], name: str | int) -> list[type[BaseModel]]:
    field = kind.model_fields.get(str(name))
    return list(_walk(field.annotation)) if field else []


def _walk(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from _walk(inner)
