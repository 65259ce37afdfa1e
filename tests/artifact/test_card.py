"""The card: what was asked, made and measured; a folder without one is not whole."""

import platform
from importlib.metadata import version
from pathlib import Path

import pytest

from luthier.artifact import atomic
from luthier.artifact.card import NAME, card_of, read_card, to_plain
from luthier.artifact.order import Order
from luthier.errors import StoreError

ORDER = Order("rows", "fetch", 1, {"source": "x"}, {"file": "sha256:00"}, {"form": "csv"})


def test_a_card_comes_back_from_its_file(tmp_path: Path) -> None:
    files = {"rows.jsonl": {"bytes": 3, "sha256": "ab"}}
    card = card_of(ORDER, {"rows": {"kept": 3, "名": 0.1}}, files, "2026-01-02T03:04:05.678+00:00", 1.23456)
    atomic.write_json(tmp_path / NAME, to_plain(card))
    assert read_card(tmp_path) == card
    assert (card.id, card.kind, card.stage, card.spec, card.inputs, card.choices) == (
        ORDER.id,
        "rows",
        "fetch",
        ORDER.spec,
        ORDER.inputs,
        ORDER.choices,
    )
    assert card.seconds == 1.235


def test_a_card_tells_the_versions_and_the_machine() -> None:
    card = card_of(ORDER, {}, {}, "2026-01-02T03:04:05.678+00:00", 1)
    assert card.versions["torch"] == version("torch")
    assert card.versions["python"] == platform.python_version()
    assert platform.machine() in card.machine


def test_a_folder_without_a_card_is_not_whole(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"has no card\.json: it is not whole") as caught:
        read_card(tmp_path)
    assert caught.value.where == str(tmp_path)
    assert caught.value.mend == "remove the folder and run its command again"


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"id": "x", "more": 1}', "null"])
def test_a_card_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / NAME).write_text(text, encoding="utf-8")
    with pytest.raises(StoreError, match="the card cannot be read") as caught:
        read_card(tmp_path)
    assert caught.value.where == str(tmp_path / NAME)
    assert caught.value.mend == "remove the folder and run its command again"
