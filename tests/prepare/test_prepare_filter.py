"""Row filters compare values, however the file writes them."""

import pytest

from luthier.prepare.filter import known_columns, matches, nearest_first
from luthier.prepare.spec import Scalar


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("1", 1),
        (" 1.0 ", 1),
        (1, 1.0),
        (1, "1"),
        ("true", True),
        ("1", True),
        ("No", False),
        (True, True),
        ("yes", "yes"),
        ("", None),
        (None, None),
        ("b", ("a", "b")),
        ("2", (1, 2)),
    ],
)
def test_a_value_equals_what_is_wanted_across_forms(value: object, wanted: Scalar | tuple[Scalar, ...]) -> None:
    assert matches({"x": value}, {"x": wanted})


@pytest.mark.parametrize(
    ("value", "wanted"),
    [("1", 2), ("one", 1), ("", 0), (None, 0), (None, "None"), ("c", ("a", "b")), ([1], 1), ({}, ""), ("nan", 1)],
)
def test_a_value_differs_from_what_is_wanted(value: object, wanted: Scalar | tuple[Scalar, ...]) -> None:
    assert not matches({"x": value}, {"x": wanted})


def test_all_columns_named_must_match_and_an_absent_one_is_nothing() -> None:
    assert matches({"x": "1", "y": "a"}, {"x": 1, "y": "a"})
    assert not matches({"x": "1", "y": "a"}, {"x": 1, "y": "b"})
    assert matches({}, {"x": None})
    assert not matches({}, {"x": ""})


def test_the_columns_there_are_stand_nearest_first() -> None:
    assert nearest_first("titel", ["reply", "Title", "tilt"]) == ["Title", "tilt", "reply"]
    assert known_columns("b", [f"a{n}" for n in range(12)] + ["b"]).startswith("'b', ")
    assert known_columns("b", [f"a{n}" for n in range(13)]).endswith(" and 1 more")
