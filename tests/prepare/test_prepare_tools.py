"""Tools in the ways in which files list them."""

import json

import pytest

from luthier.prepare.fault import BadRow
from luthier.prepare.tools import tools_of

ADD = {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {}}}
WRAPPED = {"type": "function", "function": ADD}


@pytest.mark.parametrize(
    "listed", [[ADD], [WRAPPED], ADD, json.dumps([ADD]), json.dumps(WRAPPED), [json.dumps(ADD)], [{"function": ADD}]]
)
def test_every_way_to_list_tools_becomes_openais(listed: object) -> None:
    assert tools_of(listed) == (WRAPPED,)


@pytest.mark.parametrize("nothing", [None, "", " ", [], "[]"])
def test_no_tools_are_none(nothing: object) -> None:
    assert tools_of(nothing) == ()


@pytest.mark.parametrize(
    ("listed", "what"),
    [
        ("add", "tools is 'add', not a list of tools"),
        ([{"parameters": {}}], "tool 1 is {'parameters': {}}, without a name"),
        ([ADD, 5], "tool 2 is 5, without a name"),
        ([{"name": "\ud800"}], "tool 1 has half a surrogate pair"),
    ],
)
def test_what_is_no_list_of_tools_says_why(listed: object, what: str) -> None:
    with pytest.raises(BadRow) as caught:
        tools_of(listed)
    assert caught.value.what == what
    assert caught.value.mend
