"""Arithmetic without `eval`: exact fractions as far as they carry, floating point where a function leaves them.

Python's parser reads the text, and only what stands in the tables below is computed.
"""

import ast
import math
import operator
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from luthier.act.tool import CallError, Output, Tool

Number = Fraction | float
LONGEST = 500
"""Characters: a bound on how deep an expression nests."""
MOST_BITS = 3_300
"""Of an exact number, about 1,000 digits: what grows further is floating point."""
SIGNS: dict[int, int | str] = {
    **{wide: wide - 0xFEE0 for wide in range(0xFF01, 0xFF5F)},  # full-width digits and signs
    **{ord(sign): written for sign, written in {"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**"}.items()},
}


def _power(left: Number, right: Number) -> Number:
    if isinstance(left, Fraction) and isinstance(right, Fraction) and right.denominator == 1:
        bits = max(left.numerator.bit_length(), left.denominator.bit_length())
        if bits * abs(right) <= MOST_BITS:
            return Fraction(left**right)
    return math.pow(left, right)


def _exact(whole: Callable[[Number], int]) -> Callable[[Number], Number]:
    return lambda value: Fraction(whole(value))


def _round(value: Number, digits: Number = Fraction(0)) -> Number:
    if abs(float(digits)) > MOST_BITS:
        raise ValueError(f"{float(digits):g} is too many digits")
    return round(Fraction(str(value)), int(digits))


def _factorial(value: Number) -> Number:
    if value != int(value) or not 0 <= value <= 400:
        raise ValueError("factorial takes whole numbers from 0 to 400")
    return Fraction(math.factorial(int(value)))


def _log(value: Number, base: Number = math.e) -> Number:
    return math.log(value, base)


OPERATIONS: Mapping[type[ast.operator], Callable[[Any, Any], Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
UNARY: Mapping[type[ast.unaryop], Callable[[Any], Number]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
FUNCTIONS: Mapping[str, Callable[..., Number]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "ceil": _exact(math.ceil),
    "cos": math.cos,
    "degrees": math.degrees,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": _exact(math.floor),
    "ln": math.log,
    "log": _log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "radians": math.radians,
    "round": _round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "sum": lambda *values: sum(values),
    "tan": math.tan,
}


def calculator() -> Tool:
    """Give the calculator as a tool."""
    parameters = {
        "type": "object",
        "properties": {
            "expression": {
                "type": "string",
                "maxLength": LONGEST,
                "description": "for instance (3 + 4.5) * 2 ** 10 / sqrt(2)",
            }
        },
        "required": ["expression"],
        "additionalProperties": False,
    }
    about = f"Computes an arithmetic expression: numbers, + - * / // % **, parentheses, {', '.join(FUNCTIONS)}, pi, e."
    return Tool(
        "calculator",
        about,
        parameters,
        lambda arguments, seconds: Output(compute(str(arguments["expression"]))),
        "calculator",
        is_foreign=False,
    )


def compute(text: str) -> str:
    """Give the value of an expression: exact where its digits end, else to 15 digits. Raises CallError."""
    if len(text) > LONGEST:
        raise _refusal(text[:40], f"the expression has {len(text)} characters", f"keep to {LONGEST}")
    try:
        return _show(_value(ast.parse(text.strip().translate(SIGNS), mode="eval").body, text))
    except (SyntaxError, RecursionError, MemoryError):
        raise _refusal(text, "the expression cannot be read", "write for instance (3 + 4.5) * 2") from None
    except ZeroDivisionError:
        raise _refusal(text, "it divides by zero", "look at what stands below the line") from None
    except (ValueError, OverflowError, TypeError) as error:
        raise _refusal(text, f"it has no value: {error}", "see what each function takes") from None


def _value(node: ast.AST, text: str) -> Number:
    match node:
        case ast.Constant(value=int() | float() as value) if not isinstance(value, bool):
            # as it was written: 0.1 is a tenth
            return _bounded(Fraction(str(value)) if math.isfinite(value) else float(value))
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in OPERATIONS:
            return _bounded(OPERATIONS[type(sign)](_value(left, text), _value(right, text)))
        case ast.UnaryOp(op=sign, operand=inner) if type(sign) in UNARY:
            return UNARY[type(sign)](_value(inner, text))
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return _bounded(FUNCTIONS[name](*(_value(argument, text) for argument in arguments)))
    part = ast.unparse(node)[:60]
    raise _refusal(text, f"{part!r} cannot be computed", f"use numbers, + - * / // % **, {', '.join(FUNCTIONS)}")


def _bounded(value: Number) -> Number:
    if isinstance(value, int):
        return Fraction(value)
    if isinstance(value, complex):
        raise ValueError("the root of a negative number")
    if isinstance(value, Fraction) and max(abs(value.numerator), value.denominator).bit_length() > MOST_BITS:
        return float(value)
    return value


def _show(value: Number) -> str:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("the number is too large")
        return f"{value:.15g}"
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if value.denominator == 1:
        return str(value.numerator)
    if rest != 1:
        return f"{float(value):.15g}"
    places = next(count for count in range(1, 4_000) if 10**count % value.denominator == 0)
    digits = f"{abs(value.numerator) * 10**places // value.denominator:0{places + 1}}"
    return f"{'-' if value < 0 else ''}{digits[:-places]}.{digits[-places:]}"


def _refusal(text: str, what: str, mend: str) -> CallError:
    return CallError(what, where=f"calculator, expression {text!r}", mend=mend)
