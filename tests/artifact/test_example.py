"""Examples: the same rows come back, whatever is written in them."""

import json
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from luthier.artifact.example import SPLITS, Example, Message, from_plain, plain, read_examples, write_examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
EXAMPLE = st.builds(
    Example,
    id=TEXT,
    messages=st.lists(
        st.builds(Message, role=st.sampled_from(["system", "user", "assistant", "tool"]), content=TEXT), min_size=1
    ).map(tuple),
    source=TEXT,
    group=TEXT,
    tag=TEXT,
)


@given(st.lists(EXAMPLE, max_size=4))
def test_examples_come_back_as_they_were_written(examples: list[Example]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert write_examples(Path(folder), "train", examples) == len(examples)
        assert list(read_examples(Path(folder), "train")) == examples


def test_a_row_is_one_line_of_json_in_plain_text(tmp_path: Path) -> None:
    example = Example("a1", (Message("user", "问\nline\u2028"), Message("assistant", "答")), "f.csv:3", "g", "recall")
    write_examples(tmp_path, "test", [example, example])
    lines = (tmp_path / "test.jsonl").read_bytes().split(b"\n")
    assert len(lines) == 3
    assert lines[2] == b""
    assert "答".encode() in lines[0]
    assert json.loads(lines[0]) == {
        "id": "a1",
        "messages": [{"role": "user", "content": "问\nline\u2028"}, {"role": "assistant", "content": "答"}],
        "source": "f.csv:3",
        "group": "g",
        "tag": "recall",
    }


def test_an_example_is_a_prompt_and_a_reference() -> None:
    messages = (Message("system", "s"), Message("user", "u"), Message("assistant", "a"))
    example = Example("1", messages, "here")
    assert (example.prompt, example.reference, example.group, example.tag) == (messages[:2], "a", "", "")
    assert plain(example.prompt) == [{"role": "system", "content": "s"}, {"role": "user", "content": "u"}]
    assert from_plain({"id": "1", "messages": plain(messages), "source": "here"}) == example


def test_the_splits_are_three() -> None:
    assert SPLITS == ("train", "dev", "test")
