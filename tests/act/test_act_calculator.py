"""The calculator: exact, bounded, and no way into Python."""

import math

import pytest

from luthier.act.calculator import calculator, compute
from luthier.act.tool import CallError


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("0.1 + 0.2", "0.3"),
        ("2 ** 100", str(2**100)),
        ("10 / 4", "2.5"),
        ("1 / 3", "0.333333333333333"),
        ("-7 // 2", "-4"),
        ("-0.05", "-0.05"),
        ("1e-5", "0.00001"),
        ("factorial(20)", str(math.factorial(20))),
        ("round(2.34567, 2)", "2.35"),
        ("2 ^ 10", "1024"),
        ("３ × （4 − 1）", "9"),
        ("max(1, 2, 0.5) + sum(1, 2)", "5"),
        ("sqrt(2)", f"{math.sqrt(2):.15g}"),
        ("log(8, 2)", "3"),
    ],
)
def test_an_expression_has_its_value(expression: str, value: str) -> None:
    assert compute(expression) == value


@pytest.mark.parametrize(
    "expression",
    ["__import__('os')", "().__class__", "(lambda: 1)()", "'a' * 9", "[1] * 9", "1 if 1 else 2", "True", "x", "f'{1}'"],
)
def test_nothing_but_arithmetic_is_computed(expression: str) -> None:
    with pytest.raises(CallError) as caught:
        compute(expression)
    assert "cannot be computed" in caught.value.what
    assert repr(expression) in caught.value.where


@pytest.mark.parametrize(
    ("expression", "what"),
    [
        ("9 ** 9 ** 9", "no value"),
        ("1e400", "too large"),
        ("1 / 0", "divides by zero"),
        ("(-8) ** (1 / 3)", "no value"),
        ("(" * 600, "600 characters"),
        ("(" * 300 + "1" + ")" * 190, "cannot be read"),
        ("factorial(10 ** 6)", "factorial takes"),
        ("", "cannot be read"),
    ],
)
def test_what_has_no_value_or_no_end_is_refused_at_once(expression: str, what: str) -> None:
    with pytest.raises(CallError) as caught:
        compute(expression)
    assert what in caught.value.what
    assert caught.value.mend


def test_it_is_a_tool_whose_output_is_nobodys_text() -> None:
    tool = calculator()
    assert tool.call({"expression": "6 * 7"}, 1.0).text == "42"
    assert not tool.is_foreign
    assert not tool.is_dangerous
