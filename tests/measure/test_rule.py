import operator
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.errors import SpecError
from luthier.measure.rule import DEEPEST, LONGEST, Rule, parse

OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt, "==": operator.eq
}  # fmt: skip


def test_names_come_apart_in_tag_metric_and_field_with_their_positions() -> None:
    rule = parse("recall.rouge_l.gain.low >= 0.8 * perplexity.before - '2024-05'.bleu.after")
    assert [(name.parts, name.position) for name in rule.names()] == [
        (("recall", "rouge_l", "gain", "low"), 1),
        (("perplexity", "before"), 34),
        (("2024-05", "bleu", "after"), 54),
    ]


def test_a_chinese_tag_is_a_name_too() -> None:
    assert parse("合同.rouge_l.after > 0").names()[0].parts == ("合同", "rouge_l", "after")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3 == 7", 7),
        ("(1 + 2) * 3 == 9", 9),
        ("10 - 4 - 3 == 3", 3),
        ("24 / 4 / 3 == 2", 2),
        ("-2 * -3 == 6", 6),
        ("2 - -3 == 5", 5),
        ("1e-1 + .5 + 1. == 1.6", 1.6),
        ("+ 1 == 1", 1),
    ],
)
def test_the_left_side_is_computed_as_in_arithmetic(text: str, wanted: float) -> None:
    rule = parse(text)
    assert rule.left.value({}) == pytest.approx(wanted)


EXPRESSIONS = st.recursive(
    st.integers(0, 9).map(str),
    lambda inner: st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda parts: f"({' '.join(parts)})"),
    max_leaves=8,
)


@given(EXPRESSIONS, st.sampled_from(sorted(OPERATORS)), EXPRESSIONS)
def test_any_arithmetic_equals_pythons(left: str, comparison: str, right: str) -> None:
    rule = parse(f"{left} {comparison} {right}")
    assert rule.comparison == comparison
    assert rule.left.value({}) == eval(left)  # our own digits and signs, made above
    assert rule.right.value({}) == eval(right)


@given(st.text(st.sampled_from("rouge_l.after 0123>=<*/+-()'\"e中!"), max_size=40))
def test_whatever_is_written_is_a_rule_or_a_clear_refusal(text: str) -> None:
    try:
        rule: Rule | None = parse(text)
        refused = None
    except SpecError as error:
        rule, refused = None, error
    assert (rule is None) != (refused is None)
    if refused is not None:
        assert refused.where.startswith(f"rule {text!r}, character ")
        assert refused.mend


@pytest.mark.parametrize(
    ("text", "what", "position", "mend"),
    [
        ("", "a number, a name or ( is needed here", 1, "write for instance rouge_l.after >= 0.30"),
        ("rouge_l.after", "a comparison is needed here", 14, "write one of >= <= == > <"),
        ("rouge_l.after >=", "a number, a name or ( is needed here", 17, "write for instance"),
        ("rouge_l.after >= 0.3 0.4", "'0.4' cannot stand here", 22, "put + - * / between terms"),
        ("0 < rouge_l.after < 1", "a rule has one comparison", 19, "write two rules"),
        ("(rouge_l.after >= 0.3", "a ) is missing here", 16, "close the parenthesis"),
        ("rouge_l.after) >= 0.3", "a comparison is needed here", 14, "write one of"),
        ("rouge_l.after != 0.3", "'!' cannot be read", 15, "use names, numbers"),
        ("rouge_l.after = 0.3", "'=' cannot be read", 15, "use names, numbers"),
        ("open(rouge_l.after) >= 0", "'open' names no figure", 1, "write [tag.]metric."),
        ("__import__('os').system >= 0", "'.' cannot be read", 17, "use names, numbers"),
        (
            "rouge_l >= 0.3",
            "'rouge_l' names no figure",
            1,
            "write [tag.]metric.(before | after | after.low | after.high | gain",
        ),
        ("rouge_l.low >= 0.3", "'rouge_l.low' names no figure", 1, "write [tag.]metric."),
        ("a.b.c.after >= 0.3", "'a.b.c.after' names no figure", 1, "write [tag.]metric."),
        ("after >= 0.3", "'after' names no figure", 1, "write [tag.]metric."),
        ("1e999 > rouge_l.after", "1e999 is too large a number", 1, "write a smaller one"),
        ("(" * 30 + "1" + ")" * 30 + " > 0", f"terms nest deeper than {DEEPEST}", DEEPEST + 2, "more simply"),
        ("1" + " + 1" * 200 + " > 0", "the rule has 805 characters", LONGEST + 1, f"keep to {LONGEST}"),
    ],
)
def test_a_rule_that_cannot_be_read_says_which_where_and_how_to_mend_it(
    text: str, what: str, position: int, mend: str
) -> None:
    with pytest.raises(SpecError) as caught:
        parse(text)
    assert what in caught.value.what
    assert caught.value.where == f"rule {text!r}, character {position}"
    assert mend in caught.value.mend
