"""Python functions as tools: the signature's types are the schema, the docstring says what each does."""

import asyncio
import importlib.util
import inspect
import threading
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError
from pydantic_core import PydanticSerializationError, to_json

from luthier.act.spec import PythonSpec
from luthier.act.tool import CallError, Output, Tool, name_of
from luthier.errors import SpecError


def python_tools(spec: PythonSpec) -> list[Tool]:
    """Give the functions of a file. Raises SpecError if the file cannot be run, or a function has no types."""
    module = _load(Path(spec.file).expanduser())
    public = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    for name in (*spec.functions, *spec.ask):
        if not callable(vars(module).get(name)):
            raise SpecError(
                f"there is no function {name!r}",
                where=f"{spec.file}, key python.functions",
                mend=f"it has: {', '.join(public) or 'none'}",
            )
    chosen = spec.functions or tuple(public)
    return [_tool(vars(module)[name], name, spec) for name in chosen]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"luthier_tools_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise SpecError(f"there is no Python file {str(path)!r}", where="key python.file", mend="give its path (.py)")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the file may raise anything
        line = f":{error.__traceback__.tb_lineno}" if error.__traceback__ else ""
        raise SpecError(
            f"the file cannot be run: {type(error).__name__}: {error}", where=f"{path}{line}", mend="mend it"
        ) from error
    return module


def _tool(function: Callable[..., Any], name: str, spec: PythonSpec) -> Tool:
    where = f"{spec.file}, function {name}"
    model = _arguments_model(function, where)

    def call(arguments: Mapping[str, Any], seconds: float) -> Output:
        try:
            given = model.model_validate(dict(arguments))
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            place = ".".join(map(str, problem["loc"]))
            raise CallError(f"{place}: {problem['msg']}", where=f"arguments of {name}", mend="give it so") from None
        values = {key: getattr(given, key) for key in type(given).model_fields if key in given.model_fields_set}
        return Output(_written(_within(function, values, min(seconds, spec.timeout_seconds), name)))

    about = inspect.getdoc(function) or f"Calls {name}."
    schema = model.model_json_schema()
    schema.pop("title", None)
    return Tool(name_of(name), about, _inlined(schema), call, "python", is_dangerous=name in spec.ask)


def _arguments_model(function: Callable[..., Any], where: str) -> Any:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError) as error:
        raise SpecError(f"its types cannot be read: {error}", where=where, mend="import what they name") from None
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise SpecError(f"it takes *{parameter.name}", where=where, mend="name every argument")
        if parameter.name not in hints:
            raise SpecError(
                f"the argument {parameter.name!r} has no type", where=where, mend=f"write {parameter.name}: str"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    try:
        return create_model("Arguments", __config__=ConfigDict(extra="forbid"), **fields)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
        raise SpecError(
            f"a type has no JSON form: {str(error).partition(chr(10))[0]}", where=where, mend="use str, int, list ..."
        ) from None


def _inlined(schema: dict[str, Any]) -> dict[str, Any]:
    """Write pydantic's `$defs` out, where none leads back into itself."""
    from luthier.act.document import Document

    return {"additionalProperties": False, **Document(schema, "signature").schema(schema)}


def _within(function: Callable[..., Any], values: Mapping[str, Any], seconds: float, name: str) -> Any:
    """Call a function; one that takes too long is left to its own thread, which ends with the process."""
    done: list[Any] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            result = function(**values)
            done.append(asyncio.run(result) if inspect.iscoroutine(result) else result)
        except BaseException as error:  # carried to the caller
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True, name=f"tool {name}")
    worker.start()
    worker.join(seconds)
    if failed:
        error = failed[0]
        raise CallError(f"{type(error).__name__}: {error}", where=f"function {name}", mend="other arguments may do")
    if not done:
        raise CallError(f"it took longer than {seconds:.0f} s", where=f"function {name}", mend="ask it for less")
    return done[0]


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        return to_json(value, fallback=str).decode()
    except (PydanticSerializationError, ValueError):
        return str(value)
