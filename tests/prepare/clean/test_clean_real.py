"""The rules on real rows: clean data stays as it is, and what is changed is few and meant."""

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.artifact.example import Example, Message
from luthier.prepare.clean.cleaner import open_cleaner
from luthier.prepare.clean.record import counts, restore
from luthier.prepare.spec import CleanSpec

FILES = {"en": "alpaca_data_en.json.gz", "zh": "alpaca_data_zh_part.json.gz"}


def sample(folder: Path, language: str, count: int) -> list[Example]:
    with gzip.open(folder / FILES[language], "rt", encoding="utf-8") as file:
        rows = json.load(file)
    if language == "zh":  # a fifth of this file is English
        rows = [row for row in rows if any("\u4e00" <= character <= "\u9fff" for character in row["instruction"])]
    picked = random.Random(3).sample(rows, count)
    return [
        Example(
            str(number),
            (Message("user", f"{row['instruction']}\n{row.get('input', '')}"), Message("assistant", row["output"])),
            f"{FILES[language]}:{number}",
        )
        for number, row in enumerate(picked, 1)
    ]


@pytest.fixture(scope="module", params=["en", "zh"])
def real(request: pytest.FixtureRequest, data_folder: Callable[[str], Path]) -> tuple[str, list[Example]]:
    return request.param, sample(data_folder("alpaca_52k"), request.param, 2000)


def cleaned(spec: CleanSpec, examples: list[Example]) -> Counter[str]:
    cleaner = open_cleaner(spec)
    found: Counter[str] = Counter()
    for example in examples:
        outcome = cleaner.clean(example)
        found += counts(outcome.changes)
        if outcome.example is not None and spec.personal == "keep":
            assert restore(outcome.example, outcome.changes) == example
    return found


def test_text_that_is_right_is_not_mended(real: tuple[str, list[Example]]) -> None:
    assert cleaned(CleanSpec(encoding="mend"), real[1]) == {}


def test_left_overs_of_pages_are_few_and_rows_about_markup_stay(real: tuple[str, list[Example]]) -> None:
    language, examples = real
    found = cleaned(CleanSpec(html="strip"), examples)
    print(language, dict(found))
    assert found.keys() <= {"html changed"}
    about = [one for one in examples if "html" in one.messages[0].content.lower()]
    assert about
    assert cleaned(CleanSpec(html="strip"), about) == {}


def test_personal_data_is_found_in_few_rows(real: tuple[str, list[Example]]) -> None:
    found = cleaned(CleanSpec(personal="mask"), real[1])
    print(real[0], dict(found))
    assert found.total() < 10
    assert not found["id_card masked"] + found["bank_card masked"]


def test_rows_of_the_language_stay(real: tuple[str, list[Example]]) -> None:
    language, examples = real
    found = cleaned(CleanSpec(languages=(language,)), examples)
    print(language, dict(found))
    # Below 1 in 200: rows that ask for French, and lists of foreign names
    assert found["languages dropped"] < 10
