"""Rules over the figures of an evaluation, in a small language of their own.

    rule    = sum (">=" | "<=" | ">" | "<" | "==") sum
    sum     = product {("+" | "-") product}
    product = factor {("*" | "/") factor}
    factor  = ["-" | "+"] (number | name | "(" sum ")")
    name    = [tag "."] metric "." ("before" | "after" | "after.low" | "after.high" | "gain" | "gain.low" | "gain.high")
            | "certificate." figure

A tag that is no plain word stands in quotes: `'2024-05'.rouge_l.after > 0.3`. Nothing else can be written, so a
rule can do nothing but compare.
"""

import math
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from luthier.errors import SpecError

FIELDS = (
    ("before",),
    ("after",),
    ("after", "low"),
    ("after", "high"),
    ("gain",),
    ("gain", "low"),
    ("gain", "high"),
)
"""What may be asked of a metric."""
CERTIFICATE = "certificate"
"""How a name begins that stands for a figure of the model's certificate."""
DEEPEST = 20
"""How deep parentheses and signs may nest: a bound on the reader's own recursion."""
LONGEST = 500
"""Characters of a rule: a bound on how deep its terms stand in one another."""

Parts = tuple[str, ...]
"""A figure's name in parts: (tag, metric, field ...), or without the tag."""
Figures = Mapping[Parts, float | None]

COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
OPERATIONS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}
_PART = r"'[^']*'|\"[^\"]*\"|[^\W\d]\w*"
_TOKEN = re.compile(
    r"(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)"
    rf"|(?P<name>(?:{_PART})(?:\.(?:{_PART}))*)"
    r"|(?P<sign>>=|<=|==|[-+*/()<>])"
)
_EXAMPLE = "write for instance rouge_l.after >= 0.30"


class Term(Protocol):
    """A part of a rule."""

    def value(self, figures: Figures) -> float:
        """Give its value; NaN where a figure is missing."""

    def names(self) -> "Iterator[Name]":
        """Give the names in it, from left to right."""


@dataclass(frozen=True)
class Number:
    """A number as written."""

    number: float

    def value(self, figures: Figures) -> float:
        """Give the number."""
        return self.number

    def names(self) -> "Iterator[Name]":
        """Give nothing."""
        return iter(())


@dataclass(frozen=True)
class Name:
    """A figure, as written, in parts, and where it stands (from 1)."""

    text: str
    parts: Parts
    position: int

    def value(self, figures: Figures) -> float:
        """Look it up."""
        found = figures[self.parts]
        return math.nan if found is None else found

    def names(self) -> "Iterator[Name]":
        """Give itself."""
        yield self


@dataclass(frozen=True)
class Operation:
    """Two terms and what is done with them."""

    left: Term
    sign: str
    right: Term

    def value(self, figures: Figures) -> float:
        """Compute it."""
        return OPERATIONS[self.sign](self.left.value(figures), self.right.value(figures))

    def names(self) -> "Iterator[Name]":
        """Give the names on both sides."""
        yield from self.left.names()
        yield from self.right.names()


@dataclass(frozen=True)
class Rule:
    """A rule that was read."""

    text: str
    left: Term
    comparison: str
    right: Term

    def names(self) -> tuple[Name, ...]:
        """Give the names in it, from left to right."""
        return (*self.left.names(), *self.right.names())


def parse(text: str) -> Rule:
    """Read a rule. Raises SpecError with the rule and the position of what cannot stand there."""
    if len(text) > LONGEST:
        raise _refusal(text, LONGEST, f"the rule has {len(text)} characters", f"keep to {LONGEST}, or write two rules")
    reader = _Reader(text, _tokens(text))
    left = reader.sum(0)
    if reader.ahead.text not in COMPARISONS:
        raise reader.refuse("a comparison is needed here", f"write one of {' '.join(COMPARISONS)}")
    comparison = reader.take().text
    right = reader.sum(0)
    if reader.ahead.text in COMPARISONS:
        raise reader.refuse("a rule has one comparison", "write two rules")
    if reader.ahead.kind != "end":
        raise reader.refuse(f"{reader.ahead.text!r} cannot stand here", "put + - * / between terms, or remove it")
    return Rule(text, left, comparison, right)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    begin: int


def _tokens(text: str) -> list[_Token]:
    found = []
    place = 0
    while place < len(text):
        match = _TOKEN.match(text, place)
        if match:
            found.append(_Token(str(match.lastgroup), match.group(), place))
        elif not text[place].isspace():
            signs = " ".join(COMPARISONS)
            raise _refusal(
                text, place, f"{text[place]!r} cannot be read", f"use names, numbers, + - * / ( ) and {signs}"
            )
        place = match.end() if match else place + 1
    return [*found, _Token("end", "", len(text))]


def _refusal(rule: str, place: int, what: str, mend: str) -> SpecError:
    return SpecError(what, where=f"rule {rule!r}, character {place + 1}", mend=mend)


class _Reader:
    """Goes through a rule's tokens from left to right, one ahead."""

    def __init__(self, rule: str, tokens: list[_Token]) -> None:
        self.rule = rule
        self.tokens = tokens
        self.place = 0

    @property
    def ahead(self) -> _Token:
        return self.tokens[self.place]

    def take(self) -> _Token:
        self.place += 1
        return self.tokens[self.place - 1]

    def refuse(self, what: str, mend: str) -> SpecError:
        return _refusal(self.rule, self.ahead.begin, what, mend)

    def sum(self, depth: int) -> Term:
        left = self.product(depth)
        while self.ahead.text in ("+", "-"):
            left = Operation(left, self.take().text, self.product(depth))
        return left

    def product(self, depth: int) -> Term:
        left = self.factor(depth)
        while self.ahead.text in ("*", "/"):
            left = Operation(left, self.take().text, self.factor(depth))
        return left

    def factor(self, depth: int) -> Term:
        if depth > DEEPEST:
            raise self.refuse(f"terms nest deeper than {DEEPEST}", "write the rule more simply")
        if self.ahead.text in ("-", "+"):
            return Operation(Number(0.0), self.take().text, self.factor(depth + 1))
        if self.ahead.kind == "number":
            return self.number()
        if self.ahead.kind == "name":
            return self.name()
        if self.ahead.text != "(":
            raise self.refuse("a number, a name or ( is needed here", _EXAMPLE)
        self.take()
        inner = self.sum(depth + 1)
        if self.ahead.text != ")":
            raise self.refuse("a ) is missing here", "close the parenthesis")
        self.take()
        return inner

    def number(self) -> Number:
        number = float(self.ahead.text)
        if math.isinf(number):
            raise self.refuse(f"{self.ahead.text} is too large a number", "write a smaller one")
        self.take()
        return Number(number)

    def name(self) -> Name:
        text, begin = self.ahead.text, self.ahead.begin
        parts = tuple(part.strip("'\"") for part in re.findall(_PART, text))
        field = parts[-2:] if parts[-1] in ("low", "high") else parts[-1:]
        if parts[0] == CERTIFICATE and len(parts) == 2:
            self.take()
            return Name(text, parts, begin + 1)
        if field not in FIELDS or len(parts) - len(field) not in (1, 2):
            fields = " | ".join(".".join(known) for known in FIELDS)
            raise self.refuse(f"{text!r} names no figure", f"write [tag.]metric.({fields})")
        self.take()
        return Name(text, parts, begin + 1)
