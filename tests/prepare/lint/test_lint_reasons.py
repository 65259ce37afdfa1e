"""Every reason for which a row can be left out stands for a numbered finding."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import luthier.prepare
from luthier.prepare.lint.finding import SEVERITIES
from luthier.prepare.lint.reasons import CHOSEN, CLEANED, OTHER, REASONS, code_of
from luthier.prepare.lint.table import FINDINGS

ROOM = Path(luthier.prepare.__file__).parent
CALLS = {"Fault": 0, "BadRow": 0, "drop": 1}
"""What gives a reason -> which of its arguments it is."""


def reasons() -> Iterator[str]:
    """Read the code: each reason that is written there; what is put into one is any text."""
    for path in sorted(ROOM.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            is_count = name == "add" and isinstance(node.func, ast.Attribute) and "dropped" in ast.unparse(node.func)
            place = 0 if is_count else CALLS.get(name)
            if place is not None and len(node.args) > place:
                yield from _texts(node.args[place])


def _texts(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield re.escape(node.value)
    if isinstance(node, ast.JoinedStr):
        yield "".join(re.escape(str(part.value)) if isinstance(part, ast.Constant) else ".+" for part in node.values)


def test_every_reason_in_the_code_has_a_finding_or_is_one_that_was_asked_for() -> None:
    found = sorted(set(reasons()))
    assert len(found) > 25
    known = [*REASONS, *CHOSEN, f"{CLEANED}html"]
    assert [text for text in found if not any(re.fullmatch(text, name) for name in known)] == []


def test_no_reason_is_listed_that_the_code_does_not_give() -> None:
    found = [*sorted(set(reasons())), "empty after cleaning"]
    assert [name for name in (*REASONS, *CHOSEN) if not any(re.fullmatch(text, name) for text in found)] == []


def test_every_reason_leads_to_a_finding_of_the_table() -> None:
    assert set(REASONS.values()) | {OTHER, "D114"} <= set(FINDINGS)
    assert not set(REASONS) & set(CHOSEN)
    assert code_of("duplicate") is None
    assert code_of("no answer") == "D105"
    assert code_of("cleaned: personal") == "D114"
    assert code_of("a reason that nobody listed") == "D199"


def test_each_finding_has_a_number_a_severity_a_title_and_a_mend() -> None:
    assert len(FINDINGS) >= 30
    assert list(FINDINGS) == sorted(FINDINGS)
    for code, rule in FINDINGS.items():
        assert re.fullmatch(r"D[1-4]\d\d", code)
        assert rule.severity in SEVERITIES
        assert rule.settled in SEVERITIES
        assert rule.title[0].islower()
        assert len(rule.mend) > 15
    assert len({rule.title for rule in FINDINGS.values()}) == len(FINDINGS)
