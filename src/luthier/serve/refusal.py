"""Every exception as an OpenAI error object with its HTTP status: the one place where that is decided."""

import asyncio
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from luthier.engine.ports import CONTEXT
from luthier.errors import BusyError, DataError, KindError, LuthierError, RoomError, ServeError, SpecError, StoreError

KINDS: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    408: "timeout_error",
    429: "rate_limit_error",
    499: "client_closed_request",
    500: "server_error",
    503: "server_error",
}
"""Status -> OpenAI's word for it; every other one is the fault of the request."""

STATUS: Mapping[type[BaseException], int] = {
    DataError: 400,
    SpecError: 400,
    KindError: 400,
    StoreError: 404,
    BusyError: 503,
    RoomError: 503,
    ServeError: 503,
    ClientDisconnect: 499,
    asyncio.CancelledError: 503,
}
"""What the other errors are to a client; those that are not here are our own fault: 500."""

CODES: Mapping[int, str] = {
    400: "invalid_value",
    401: "invalid_api_key",
    403: "not_allowed",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "request_too_large",
    422: "unprocessable",
    429: "rate_limit_exceeded",
    431: "request_too_large",
    499: "client_closed_request",
    500: "internal_error",
    503: "unavailable",
}
"""The code of an error that has none of its own."""

RETRY_SECONDS = 1
"""When to ask again after a 503 that says nothing more."""

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


STOPPING = RefusedError("the server is stopping", where="the server", mend="ask again when it is back", status=503)


def status_of(error: BaseException) -> int:
    """Give the HTTP status of an exception."""
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, HTTPException):
        return error.status_code
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def headers_of(error: BaseException) -> dict[str, str]:
    """Give the headers that go with an exception; whoever is to come again is told when."""
    own: dict[str, str] = {}
    if isinstance(error, RefusedError | HTTPException):
        own = dict(error.headers or {})
    later = {"Retry-After": str(RETRY_SECONDS)} if status_of(error) in (429, 503) else {}
    return later | own


def to_plain(error: BaseException) -> dict[str, Any]:
    """Give the error object: {"error": {"message", "type", "param", "code"}}."""
    status = status_of(error)
    if not isinstance(error, LuthierError):
        word = HTTPStatus(status).phrase.lower() if status != 499 else "the client has left"
        message = f"the server failed: {type(error).__name__}" if status == 500 else word
        return _object(message, status, None, CODES.get(status))
    found = KEY.search(error.where)
    parameter = found[1] if found else None
    return _object(f"{error.what}; {error.mend}", status, parameter, _code(error, status))


def of_status(status: int, path: str) -> dict[str, Any]:
    """Give the error object of a bare HTTP status: a path or method that is not served."""
    message = f"{HTTPStatus(status).phrase.lower()}: {path} (what is served stands in /openapi.json)"
    return _object(message, status, None, CODES.get(status))


def _object(message: str, status: int, parameter: str | None, code: str | None) -> dict[str, Any]:
    kind = KINDS.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def _code(error: LuthierError, status: int) -> str | None:
    if isinstance(error, RefusedError) and error.code:
        return error.code
    if isinstance(error, DataError) and error.where.endswith(CONTEXT):
        return "context_length_exceeded"
    return CODES.get(status)
