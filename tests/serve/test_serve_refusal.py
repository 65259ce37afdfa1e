"""Errors as OpenAI error objects."""

import pytest

from luthier.errors import DataError, LuthierError, ModelError, RoomError, ServeError, SpecError
from luthier.serve.refusal import RefusedError, of_status, status_of, to_plain


@pytest.mark.parametrize(
    ("kind", "status", "word", "code"),
    [
        (DataError, 400, "invalid_request_error", "invalid_value"),
        (SpecError, 400, "invalid_request_error", "invalid_value"),
        (ServeError, 503, "server_error", "unavailable"),
        (RoomError, 503, "server_error", "unavailable"),
        (ModelError, 500, "server_error", "internal_error"),
    ],
)
def test_each_error_has_its_status_and_word(kind: type[LuthierError], status: int, word: str, code: str) -> None:
    error = kind("it is 7", where="file.yaml:3, key learn.rate", mend="make it 8")
    assert status_of(error) == status
    assert to_plain(error) == {
        "error": {"message": "it is 7; make it 8", "type": word, "param": "learn.rate", "code": code}
    }


def test_a_folder_called_key_is_no_parameter() -> None:
    error = DataError("no", where="/home/mon, key ring/model", mend="say yes")
    assert to_plain(error)["error"]["param"] is None


def test_a_bug_shows_its_kind_and_nothing_of_what_it_holds() -> None:
    plain = to_plain(KeyError("secret"))
    assert plain["error"]["code"] == "internal_error"
    assert "KeyError" in plain["error"]["message"]
    assert "secret" not in str(plain)


@pytest.mark.parametrize(
    ("status", "word"), [(401, "authentication_error"), (429, "rate_limit_error"), (404, "invalid_request_error")]
)
def test_a_refusal_keeps_its_status_and_code(status: int, word: str) -> None:
    error = RefusedError("no", where="there", mend="wait", status=status, code="later")
    assert status_of(error) == status
    assert to_plain(error)["error"] == {"message": "no; wait", "type": word, "param": None, "code": "later"}


def test_a_bare_status_says_where_to_go() -> None:
    error = of_status(404, "/v2")["error"]
    assert error["code"] == "not_found"
    assert "/openapi.json" in error["message"]
