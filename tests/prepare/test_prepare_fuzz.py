"""Whatever the rows hold: examples or a DataError, and the answer comes back out of its tokens."""

import json
import tempfile
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from luthier.artifact.example import Message, from_plain
from luthier.artifact.store import Artifact
from luthier.errors import DataError
from luthier.event import hush
from luthier.model.template import Template, open_template
from luthier.prepare.gather import Gathered, gather
from luthier.prepare.render import control_texts
from luthier.prepare.source import Source
from luthier.prepare.spec import ColumnsSpec, PrepareSpec

KEYS = st.sampled_from(
    ("instruction", "input", "output", "history", "system", "messages", "conversations", "role", "content", "q", "a")
)
WORDS = st.sampled_from(("user", "assistant", "system", "human", "gpt", "tool", "text", "type", "", " ", "\ud800"))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
GOOD = {
    "a.json": '[{"q": "one", "a": 1, "g": ""},\n {"q": "二", "a": "two"}, {"q": "\\u4e09", "a": "3"}]',
    "a.jsonl": '{"instruction": "one", "output": "1"}\n{"instruction": "二", "output": "two"}\n',
    "a.csv": 'q,a,g\n"one, ""1""",1,x\n二,"tw\no",y\n',
}
TURNS = st.fixed_dictionaries({"role": WORDS, "content": VALUES})
ROWS = st.one_of(
    VALUES,
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.fixed_dictionaries({"messages": st.lists(TURNS, max_size=4)}),
    st.fixed_dictionaries({"instruction": VALUES, "output": VALUES, "history": VALUES}),
    st.fixed_dictionaries({"q": VALUES, "a": VALUES, "g": VALUES}),
)
SPECS = st.sampled_from(
    [
        PrepareSpec(bad_rows="drop"),
        PrepareSpec(bad_rows="error"),
        PrepareSpec(columns=ColumnsSpec(user="q", assistant="a", group="g"), bad_rows="drop"),
        PrepareSpec(where={"q": 1}, bad_rows="drop", system="be kind"),
    ]
)


def gathered(data: bytes, name: str, spec: PrepareSpec) -> Gathered | DataError:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            return gather(spec, [Source(path, name)], hush)
        except DataError as error:
            return error


def check(found: Gathered | DataError) -> None:
    event(type(found).__name__)
    if isinstance(found, DataError):
        assert found.what
        assert found.where
        assert found.mend
        return
    assert found.candidates
    assert found.rows == len(found.candidates) + sum(found.dropped.values())
    for candidate in found.candidates:
        example = candidate.example
        assert example.reference.strip()
        assert example.messages[-1].role == "assistant"
        plain = {"messages": [{"role": m.role, "content": m.content} for m in example.messages]}
        stored = json.loads(json.dumps(plain, ensure_ascii=False).encode("utf-8"))
        assert from_plain({"id": example.id, "source": example.source, **stored}).messages == example.messages


@settings(deadline=None, max_examples=300)
@given(rows=st.lists(ROWS, max_size=5), spec=SPECS, name=st.sampled_from(("a.json", "a.jsonl")))
def test_fuzzed_rows_give_examples_or_a_data_error(rows: list[object], spec: PrepareSpec, name: str) -> None:
    rows = [{"instruction": "one", "output": "1", "q": "1", "a": "1", "g": ""}, *rows]
    text = json.dumps(rows) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in rows)
    check(gathered(text.encode(), name, spec))


@settings(deadline=None, max_examples=300)
@given(
    name=st.sampled_from(sorted(GOOD)),
    begin=st.integers(0, 90),
    length=st.integers(0, 20),
    put=st.binary(max_size=4) | st.text(alphabet='[]{}",:;\\\n\r\t01 中\ufeff', max_size=4).map(str.encode),
    bad_rows=st.sampled_from(("drop", "error")),
    encoding=st.sampled_from(("auto", "auto", "auto", "gb18030", "utf-16")),
)
def test_a_damaged_file_gives_examples_or_a_data_error(
    name: str, begin: int, length: int, put: bytes, bad_rows: Literal["drop", "error"], encoding: str
) -> None:
    columns = ColumnsSpec() if name == "a.jsonl" else ColumnsSpec(user="q", assistant="a", group="g")
    good = GOOD[name].encode()
    damaged = good[:begin] + put + good[begin + length :]
    check(gathered(damaged, name, PrepareSpec(columns=columns, bad_rows=bad_rows, encoding=encoding)))


@settings(deadline=None, max_examples=100)
@given(data=st.binary(max_size=60), name=st.sampled_from(("a.json", "a.jsonl", "a.csv", "a.tsv", "a.csv.gz")))
def test_bytes_that_are_no_rows_give_a_data_error(data: bytes, name: str) -> None:
    assert isinstance(gathered(data, name, PrepareSpec(bad_rows="drop")), DataError)


@pytest.fixture(scope="module")
def template(tiny_model: Artifact) -> Template:
    return open_template(tiny_model.folder)


@settings(deadline=None, max_examples=150)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=2, max_size=6))
def test_the_answers_come_back_out_of_the_tokens_as_they_were(template: Template, texts: list[str]) -> None:
    texts = texts[: len(texts) // 2 * 2]
    if any(control in text for text in texts for control in control_texts(template)):
        return
    messages = tuple(
        Message("user", text) if number % 2 == 0 else Message("assistant", text) for number, text in enumerate(texts)
    )
    tokens = template.render(messages)
    answers = template.tokenizer.decode(tokens.ids[tokens.mask].tolist(), clean_up_tokenization_spaces=False)
    assert answers == "".join(text + "<|im_end|>" for text in texts[1::2])
