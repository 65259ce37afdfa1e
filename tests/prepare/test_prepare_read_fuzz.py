"""Whatever a file holds: rows become examples or faults, the file an error of three lines; nothing crashes."""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from luthier.artifact.example import Example, from_plain, line_of
from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare.batch_forms import formed_batches
from luthier.prepare.fault import Fault
from luthier.prepare.forms import FORMS, Form
from luthier.prepare.rows import Row, parse
from luthier.prepare.source import Source
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec

NAMES = (
    *("instruction", "input", "output", "history", "system", "messages", "conversations", "role", "content", "from"),
    *("value", "prompt", "completion", "chosen", "rejected", "label", "text", "json", "tools", "tool_calls", "name"),
    *("arguments", "function", "weight", "tool_call_id", "request", "response", "choices", "message", "feedback"),
    *("type", "q", "a", "reasoning_content", "kto_tag"),
)
KEYS = st.sampled_from(NAMES)
WRITTEN = (
    '{"name": "f", "arguments": {}}',
    '[{"role": "user", "content": "q"}]',
    "\n\nHuman: q",
    "[]",
    "{}",
    "1.5",
    "\ud800",
)
ROLES = ("user", "assistant", "system", "human", "gpt", "tool", "function_call", "observation", "text", "up", "", " ")
WORDS = st.sampled_from((*ROLES, *WRITTEN))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": WORDS, "content": VALUES},
        optional={"tool_calls": VALUES, "weight": VALUES, "tool_call_id": WORDS, "reasoning": VALUES},
    ),
    max_size=5,
)
ROWS = st.one_of(
    VALUES,
    st.dictionaries(KEYS, VALUES, max_size=6),
    st.fixed_dictionaries({"messages": TURNS}, optional={"label": VALUES, "tools": VALUES}),
    st.fixed_dictionaries({"chosen": TURNS | VALUES, "rejected": TURNS | VALUES}, optional={"prompt": TURNS | VALUES}),
    st.fixed_dictionaries({"prompt": TURNS | VALUES, "completion": TURNS | VALUES}, optional={"label": VALUES}),
    st.fixed_dictionaries({"instruction": VALUES, "output": VALUES, "history": VALUES}),
    st.fixed_dictionaries({"context": VALUES, "question": VALUES, "answers": VALUES}),
    st.fixed_dictionaries(
        {"paragraphs": st.lists(st.dictionaries(st.sampled_from(("text", "qas")), VALUES), max_size=3) | VALUES},
        optional={"label": VALUES, "data": VALUES},
    ),
    st.fixed_dictionaries({"text": VALUES}, optional={"label": VALUES, "json": VALUES}),
    st.fixed_dictionaries(
        {"request": st.fixed_dictionaries({"messages": TURNS}) | VALUES, "response": VALUES, "feedback": VALUES}
    ),
)
SPECS = st.builds(
    lambda form, tag, where, made: SetSpec(
        source="x",
        form=form,
        columns=ColumnsSpec(
            user="q" if form == "columns" else None, assistant="a" if form == "columns" else None, tag=tag, weight=tag
        ),
        where={"text": 1} if where else {},
        map={"prompt": "{{ text }}", "completion": "{{ label }}!"} if made else {},
    ),
    st.sampled_from(("auto", "auto", *FORMS)),
    st.sampled_from((None, "weight", "label")),
    st.booleans(),
    st.sampled_from((False, False, True)),
)


def check(data: bytes, name: str, spec: SetSpec, encoding: str = "auto") -> None:
    """Read a file to the end, or to its error; every example must survive its way to disk and back."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            spec = spec.model_copy(update={"encoding": encoding})
            for form, batch in formed_batches(Source(path, name), spec, SplitSpec(), hush):
                for row in parse(batch) if form is None else form.rows(parse(batch)):
                    _check_row(row, form, name)
        except DataError as error:
            is_whole = bool(error.what and error.where and error.mend)
            event("an error")
            if not is_whole:
                raise


def _check_row(row: Row | Fault, form: Form | None, name: str) -> None:
    if isinstance(row, Row):
        assert form is not None
        row = form.read(row) if form.wants(row) else Fault("filtered", "filtered", row.place, "none")  # type: ignore[assignment]
    if isinstance(row, Fault):
        event(row.reason)
        assert row.what
        assert row.mend
        assert row.where.startswith(f"{name}:")
    elif isinstance(row, Example):
        event(row.task)
        assert from_plain(json.loads(line_of(row).encode("utf-8"))) == row
        assert row.messages or row.texts
        assert not row.messages or row.messages[-1].role == "assistant"


@pytest.mark.slow
@settings(deadline=None, max_examples=300)
@given(rows=st.lists(ROWS, max_size=4), spec=SPECS, name=st.sampled_from(("a.json", "a.jsonl")))
def test_fuzzed_rows_are_examples_faults_or_a_data_error(rows: list[Any], spec: SetSpec, name: str) -> None:
    text = json.dumps(rows) if name == "a.json" else "".join(json.dumps(row) + "\n" for row in rows)
    check(text.encode(), name, spec)


GOOD = {
    "a.json": '[{"q": "one", "a": 1, "g": ""},\n {"q": "二", "a": "two"}, {"q": "\\u4e09", "a": "3"}]',
    "b.json": '{\n"data": [{"q": "one", "a": 1},\n {"q": "二", "a": "two"}],\n "n": [1, 2]}',
    "a.jsonl": '{"instruction": "one", "output": "1"}\n{"instruction": "二", "output": "two"}\n',
    "a.csv": 'q,a,g\n"one, ""1""",1,x\n二,"tw\no",y\n',
    "a.txt": "one\n二\n\nthree",
}


@settings(deadline=None, max_examples=300)
@given(
    name=st.sampled_from(sorted(GOOD)),
    begin=st.integers(0, 90),
    length=st.integers(0, 20),
    put=st.binary(max_size=4) | st.text(alphabet='[]{}",:;\\\n\r\t01 中\ufeff', max_size=4).map(str.encode),
    encoding=st.sampled_from(("auto", "auto", "auto", "gb18030", "utf-16")),
)
def test_a_damaged_file_is_read_or_a_data_error(name: str, begin: int, length: int, put: bytes, encoding: str) -> None:
    good = GOOD[name].encode()
    spec = SetSpec(
        source="x", columns=ColumnsSpec() if name in ("a.jsonl", "a.txt") else ColumnsSpec(user="q", assistant="a")
    )
    check(good[:begin] + put + good[begin + length :], name, spec, encoding)


FILES = ("a.json", "a.jsonl", "a.csv", "a.tsv", "a.txt", "a.parquet", "a.arrow", "a.csv.gz", "a.json.zst")


@settings(deadline=None, max_examples=200)
@given(data=st.binary(max_size=60), name=st.sampled_from(FILES))
def test_bytes_that_are_no_rows_never_crash(data: bytes, name: str) -> None:
    check(data, name, SetSpec(source="x"))
