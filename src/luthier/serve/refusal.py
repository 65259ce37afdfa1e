"""Every exception as an OpenAI error object with its HTTP status."""

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from luthier.engine.ports import CONTEXT
from luthier.errors import DataError, LuthierError, RoomError, ServeError, SpecError

KINDS: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
}
"""Status -> OpenAI's word for it; every other one is the fault of the request."""

STATUS: Mapping[type[LuthierError], int] = {DataError: 400, SpecError: 400, RoomError: 503, ServeError: 502}
"""What the other errors are to a client; those that are not here are our own fault: 500."""

KEY = re.compile(r"(?:^|, )key ([\w.]+)$")
"""How the `where` of an error names a parameter."""


class RefusedError(LuthierError):
    """A request that is not answered, with the status and code a client acts on."""

    def __init__(
        self,
        what: str,
        *,
        where: str,
        mend: str,
        status: int = 400,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(what, where=where, mend=mend)
        self.status = status
        self.code = code
        self.headers = dict(headers or {})


def status_of(error: Exception) -> int:
    """Give the HTTP status of an exception."""
    if isinstance(error, RefusedError):
        return error.status
    return STATUS.get(type(error), 500) if isinstance(error, LuthierError) else 500


def to_plain(error: Exception) -> dict[str, Any]:
    """Give the error object: {"error": {"message", "type", "param", "code"}}."""
    status = status_of(error)
    if not isinstance(error, LuthierError):
        return _object(f"the server failed: {type(error).__name__}", status, None, "internal_error")
    found = KEY.search(error.where)
    parameter = found[1] if found else None
    return _object(f"{error.what}; {error.mend}", status, parameter, _code(error))


def of_status(status: int, path: str) -> dict[str, Any]:
    """Give the error object of a bare HTTP status: a path or method that is not served."""
    message = f"{HTTPStatus(status).phrase.lower()}: {path} (see /v1/models, /v1/chat/completions, /v1/completions)"
    return _object(message, status, None, "not_found" if status == 404 else None)


def _object(message: str, status: int, parameter: str | None, code: str | None) -> dict[str, Any]:
    kind = KINDS.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def _code(error: LuthierError) -> str | None:
    if isinstance(error, RefusedError):
        return error.code
    if isinstance(error, DataError) and error.where.endswith(CONTEXT):
        return "context_length_exceeded"
    return None
