"""Columns made of a file's columns by small Jinja texts."""

import json
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, UndefinedError
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from luthier.errors import DataError
from luthier.prepare.fault import BadRow
from luthier.prepare.filter import known_columns

EXPRESSION = re.compile(r"\s*\{\{(.*)\}\}\s*", re.DOTALL)
FAILS = (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError)
"""What a text may raise on a row that is not as the others are."""
MISSING = re.compile(r"'([^']*)' is undefined|has no attribute '([^']*)'")
Make = Callable[[Mapping[str, Any]], Any]


def mapped(data: Mapping[str, Any], texts: Mapping[str, str]) -> dict[str, Any]:
    """Make a row's columns anew. A text that is one expression gives its value (a list stays a list), else text.

    Raises BadRow for a column that is not there, and for an expression that fails on this row.
    """
    made = {}
    for column, text in texts.items():
        try:
            made[column] = compiled(column, text)(data)
        except UndefinedError as error:
            raise BadRow("no such column", f"map.{column}: {error}", _nearest(str(error), data)) from None
        except FAILS as error:
            raise BadRow("map failed", f"map.{column}: {error}", "mend the row, or the map") from None
    return made


@lru_cache(maxsize=256)
def compiled(column: str, text: str) -> Make:
    """Compile a text. Raises DataError for one that is not Jinja."""
    environment = _environment()
    inner = EXPRESSION.fullmatch(text)
    if inner:
        try:
            return _value_of(environment.compile_expression(inner[1], undefined_to_none=False))
        except TemplateSyntaxError:
            pass  # `{{ a }} and {{ b }}` is a text, not an expression
    try:
        template = environment.from_string(text)
    except TemplateSyntaxError as error:
        raise DataError(
            f"{text!r:.80} is not Jinja: {error}",
            where=f"key map.{column}",
            mend="write text with {{ column }} in it; see https://jinja.palletsprojects.com/templates",
        ) from None
    return lambda data: template.render(data)


def variables(texts: Mapping[str, str]) -> set[str]:
    """Give the columns that texts name. Raises DataError for one that is not Jinja."""
    found = set[str]()
    for column, text in texts.items():
        compiled(column, text)
        found |= find_undeclared_variables(_environment().parse(text))
    return found


def _value_of(expression: Any) -> Make:
    def make(data: Mapping[str, Any]) -> Any:
        value = expression(data)
        if isinstance(value, StrictUndefined):
            str(value)  # raises, and names what is missing
        return value

    return make


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(undefined=StrictUndefined, keep_trailing_newline=True)
    # Jinja's own escapes <, > and & for web pages
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    environment.filters["fromjson"] = json.loads
    return environment


def _nearest(error: str, data: Mapping[str, Any]) -> str:
    found = MISSING.search(error)
    name = (found[1] or found[2]) if found else ""
    return f"name one of the columns there are: {known_columns(name, data)}"
