"""Columns made by Jinja texts: values stay values, and nothing escapes the sandbox."""

from typing import Any

import pytest

from luthier.artifact.example import Example, Message
from luthier.errors import DataError
from luthier.event import hush
from luthier.prepare.fault import BadRow, Fault
from luthier.prepare.forms import recognise
from luthier.prepare.row_map import mapped, variables
from luthier.prepare.rows import Row
from luthier.prepare.spec import ColumnsSpec, SetSpec, SplitSpec


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{{ q }}", "what?"),
        ("Q: {{ q }}\n", "Q: what?\n"),
        ("{{ q }}{{ n }}", "what?3"),
        ("{{ n + 1 }}", 4),
        (" {{ turns }} ", [{"a": "<b>"}]),
        ("{{ turns[0].a }}", "<b>"),
        ('{{ [{"role": "user", "content": q}] }}', [{"role": "user", "content": "what?"}]),
        ("{{ turns | tojson }}", '[{"a": "<b>"}]'),
        ("{{ ('[1, 2]' | fromjson)[1] }}", 2),
        ("{% for turn in turns %}{{ turn.a }}{% endfor %}", "<b>"),
        ("{{ gone | default('none') }}", "none"),
        ("plain", "plain"),
    ],
)
def test_an_expression_gives_its_value_and_anything_else_a_text(text: str, wanted: object) -> None:
    assert mapped({"q": "what?", "n": 3, "turns": [{"a": "<b>"}]}, {"x": text}) == {"x": wanted}


@pytest.mark.parametrize("text", ["{{ questoin }}", "Q: {{ questoin }}", "{{ questoin.a }}"])
def test_an_unknown_column_is_answered_with_the_nearest(text: str) -> None:
    with pytest.raises(BadRow) as caught:
        mapped({"answer": "", "question": ""}, {"x": text})
    assert caught.value.reason == "no such column"
    assert caught.value.what == "map.x: 'questoin' is undefined"
    assert caught.value.mend == "name one of the columns there are: 'question', 'answer'"


@pytest.mark.parametrize(
    "text",
    [
        "{{ q.__class__.__mro__ }}",
        "{{ ''.__class__ }} and more",
        "{{ q / 0 }}",
        "{{ 1 / 0 }}",
        "{{ q | fromjson }}",
        "{{ turns.append(1) }}",
        "{% for n in range(1000000) %}{% endfor %}",
    ],
)
def test_what_fails_or_reaches_out_is_a_bad_row(text: str) -> None:
    with pytest.raises(BadRow) as caught:
        mapped({"q": "what?", "turns": []}, {"x": text})
    assert caught.value.reason in ("map failed", "no such column")
    assert caught.value.what.startswith("map.x: ")
    assert caught.value.mend


def test_what_is_not_jinja_names_its_key() -> None:
    with pytest.raises(DataError) as caught:
        mapped({}, {"x": "{{ q "})
    assert "is not Jinja" in caught.value.what
    assert caught.value.where == "key map.x"
    assert "{{ column }}" in caught.value.mend


def test_the_form_is_read_from_the_maps_columns_alone_but_group_and_filter_from_the_file() -> None:
    data: dict[str, Any] = {"messages": "not turns", "q": "q", "a": ["a"], "who": "x", "lang": "en"}
    spec = SetSpec(
        source="a.json",
        map={"prompt": "Say: {{ q }}", "completion": "{{ a[0] }}"},
        columns=ColumnsSpec(group="who"),
        where={"lang": "en"},
    )
    form = recognise(Row("a.json:1", data, closed=True), spec, SplitSpec(), hush)
    assert form.name == "completion"
    assert form.wants(Row("a.json:1", data))
    example = form.read(Row("a.json:1", data))
    assert isinstance(example, Example)
    assert example.messages == (Message("user", "Say: q"), Message("assistant", "a"))
    assert example.group == "x"
    fault = form.read(Row("a.json:2", {"q": "q"}))
    assert isinstance(fault, Fault)
    assert (fault.reason, fault.where) == ("no such column", "a.json:2")


def test_a_map_that_fails_on_the_first_row_stops_at_once() -> None:
    with pytest.raises(DataError) as caught:
        recognise(Row("a.json:1", {"q": ""}), SetSpec(source="a.json", map={"text": "{{ p }}"}), SplitSpec(), hush)
    assert caught.value.where == "a.json:1"
    assert caught.value.mend == "name one of the columns there are: 'q'"


def test_the_columns_that_texts_name_are_given_and_what_they_name_themselves_is_not() -> None:
    texts = {
        "a": "{{ one }} and {% for each in many %}{{ each.two }}{% endfor %}",
        "b": "{{ {'x': {'y': inner}}}}",
        "c": "{% set own = 1 %}{{ own }} {{ replies[0].text | tojson }}",
    }
    assert variables(texts) == {"one", "many", "inner", "replies"}
    assert variables({}) == set()
    with pytest.raises(DataError, match="is not Jinja") as caught:
        variables({"a": "{{ open"})
    assert caught.value.where == "key map.a"
    assert "write text with {{ column }} in it" in caught.value.mend
