"""Errors say what, where and how to mend it, in three lines."""

import inspect
import pickle

import pytest

from luthier import errors
from luthier.errors import DataError, LuthierError

CHILDREN = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, LuthierError) and found is not LuthierError
]


def test_an_error_is_three_lines_what_where_and_mend() -> None:
    error = DataError("'answer' is ''", where="rows.csv:3", mend="fill it in")
    assert str(error) == "'answer' is ''\n  where: rows.csv:3\n  mend:  fill it in"
    assert (error.what, error.where, error.mend) == ("'answer' is ''", "rows.csv:3", "fill it in")


def test_an_error_cannot_be_made_without_where_and_mend() -> None:
    with pytest.raises(TypeError, match="mend"):
        DataError("wrong", where="here")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="where"):
        DataError("wrong", mend="so")  # type: ignore[call-arg]


def test_there_are_children() -> None:
    assert len(CHILDREN) >= 10


@pytest.mark.parametrize("child", CHILDREN)
def test_every_child_lies_flat_below_the_one_parent(child: type[LuthierError]) -> None:
    assert child.__bases__ == (LuthierError,)
    assert child.__doc__
    with pytest.raises(LuthierError, match="it broke"):
        raise child("it broke", where="here", mend="so")


@pytest.mark.parametrize("kind", CHILDREN)
def test_an_error_comes_back_whole_from_another_process(kind: type[LuthierError]) -> None:
    again = pickle.loads(pickle.dumps(kind("it is 3", where="rows.csv:3", mend="make it 4")))
    assert type(again) is kind
    assert str(again) == "it is 3\n  where: rows.csv:3\n  mend:  make it 4"
