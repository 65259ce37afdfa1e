"""Weights by content id."""

from pathlib import Path

import pytest

from luthier.errors import DataError
from luthier.prepare.ledger import read_weights

ONE, TWO = "0123456789abcdef", "fedcba9876543210"


def test_weights_are_read_from_json_lines_and_from_csv(tmp_path: Path) -> None:
    lines = tmp_path / "ledger.jsonl"
    lines.write_text(f'{{"id": "{ONE}", "weight": 0, "verdict": "doubtful"}}\n{{"id": "{TWO}", "weight": 0.5}}\n')
    table = tmp_path / "ledger.csv"
    table.write_text(f"id,weight\n{ONE},0\n{TWO},0.5\n{ONE},0\n")
    assert read_weights(lines) == read_weights(str(table)) == {ONE: 0.0, TWO: 0.5}


@pytest.mark.parametrize(
    ("line", "what", "mend"),
    [
        ('{"id": "x", "weight": 1}', "id is 'x', not 16 hex digits", "take the id from the examples"),
        (f'{{"id": "{TWO}"}}', "the row has no weight", "write a number from 0 up"),
        (f'{{"id": "{TWO}", "weight": -1}}', "weight is -1, no weight", "write a number from 0 up"),
        (f'{{"id": "{ONE}", "weight": 2}}', f"{ONE} has two weights, 1 and 2", "leave one line out"),
        ("{", "not JSON: Expecting property name enclosed in double quotes", "write one whole JSON object"),
    ],
)
def test_a_line_that_gives_no_weight_is_named(tmp_path: Path, line: str, what: str, mend: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(f'{{"id": "{ONE}", "weight": 1}}\n{line}\n')
    with pytest.raises(DataError) as caught:
        read_weights(path)
    assert caught.value.what == what
    assert caught.value.where.startswith(f"{path}:2")
    assert mend in caught.value.mend
