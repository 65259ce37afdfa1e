"""Fields of specs as people read them."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from luthier.cli.fields import Field as Row
from luthier.cli.fields import field_lines, fields, type_name
from luthier.spec import Spec


class Inner(Spec):
    """Inside."""

    rate: Annotated[float, Field(gt=0)] = 2e-4
    """How fast,
    in two lines."""


class Outer(Spec):
    """Outside."""

    source: str
    """From where."""
    inner: Inner = Inner()
    """What is inside."""
    either: Literal["auto"] | tuple[str, ...] = ("a", "b")
    """This or that."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Not more."""
    link: bool = False
    """Whether."""
    where: dict[str, int] = Field(default_factory=dict)
    """Which."""


def test_every_field_is_a_row_those_inside_with_their_path() -> None:
    assert list(fields(Outer)) == [
        Row("source", "text", "(needed)", "From where."),
        Row("inner.rate", "number", "0.0002", "How fast, in two lines."),
        Row("either", "auto | list of text", "[a, b]", "This or that."),
        Row("limit", "whole number | nothing", "", "Not more."),
        Row("link", "true | false", "false", "Whether."),
        Row("where", "text: whole number, ...", "{}", "Which."),
    ]


def test_the_lines_for_the_terminal_show_what_to_type() -> None:
    lines = dict(field_lines(Outer))
    assert lines["inner.rate=0.0002"] == "How fast, in two lines."
    assert "source=(needed)" in lines


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (int, "whole number"),
        (float | None, "number | nothing"),
        (Literal["a", "b"], "a | b"),
        (list[int], "list of whole number"),
        (Annotated[str, Field(min_length=1)], "text"),
        (Any, "anything"),
        (Inner, "Inner"),
        (int | Literal["all"], "whole number | all"),
    ],
)
def test_a_type_is_written_as_a_person_would(annotation: Any, name: str) -> None:
    assert type_name(annotation) == name
