"""The ledger: verdicts on rows whose losses are set by hand."""

import json
from pathlib import Path

from luthier.learn.ledger import Ledger


def _two_epochs() -> Ledger:
    """Rows 0 to 5 are learned, 6 is memorised, 7 is hard in both epochs, 8 starts as the others and stays so."""
    ledger = Ledger()
    ledger.note(1, range(9), [2.0, 2.1, 1.9, 2.2, 1.8, 2.0, 1.9, 6.0, 2.0])
    ledger.note(2, range(9), [1.0, 1.1, 0.9, 1.2, 0.8, 1.0, 0.01, 6.1, 2.0])
    return ledger


def test_verdicts_follow_what_the_losses_did() -> None:
    ledger = _two_epochs()
    assert ledger.verdict(0) == "learned"
    assert ledger.verdict(6) == "memorised"
    assert ledger.verdict(7) == "doubtful"
    assert ledger.verdict(8) == "never learned"
    assert ledger.counts() == {"doubtful": 1, "learned": 6, "memorised": 1, "never learned": 1}


def test_a_row_seen_once_is_doubtful_only_if_it_stands_out() -> None:
    ledger = Ledger()
    ledger.note(1, [0, 1, 2, 3, 4], [1.0, 1.1, 0.9, 1.0, 9.0])
    assert [ledger.verdict(row) for row in range(5)] == ["seen once"] * 4 + ["doubtful"]


def test_the_file_has_the_worst_row_first_and_weighs_doubtful_ones_nothing(tmp_path: Path) -> None:
    _two_epochs().write(tmp_path / "ledger.jsonl", lambda row: (f"id{row}", f"rows.jsonl:{row + 1}"))
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 9
    assert (lines[0]["id"], lines[0]["source"], lines[0]["weight"]) == ("id7", "rows.jsonl:8", 0.0)
    assert lines[0]["steps"] == [1, 2]
    assert {line["weight"] for line in lines[1:]} == {1.0}


def test_what_was_saved_comes_back_up_to_the_checkpoint(tmp_path: Path) -> None:
    ledger = _two_epochs()
    ledger.save(tmp_path / "seen.json")
    whole, half = Ledger(), Ledger()
    whole.load(tmp_path / "seen.json", 2)
    half.load(tmp_path / "seen.json", 1)
    assert whole.seen == ledger.seen
    assert all(len(times) == 1 for times in half.seen.values())
