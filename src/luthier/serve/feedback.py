"""/v1/feedback: what somebody thinks of an answer whose conversation may be kept."""

from typing import Annotated, Literal

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from luthier.serve.body import read_limited
from luthier.serve.gateway import Gateway
from luthier.serve.request import build_known, read_body
from luthier.serve.turn import Text
from luthier.spec import Spec


class FeedbackRequest(Spec):
    """The body of /v1/feedback."""

    id: Text
    """The id of the response that is judged."""
    feedback: Literal["up", "down"] = "up"
    better: Annotated[Text, Field(min_length=1)] | None = None
    """The answer that should have been given."""


async def judge(gateway: Gateway, request: Request) -> Response:
    """Write a conversation with what is thought of it."""
    key = gateway.key_of(request)
    data = read_body(await read_limited(request, gateway.spec.body_bytes, gateway.spec.body_seconds))
    asked, _ = build_known(FeedbackRequest, data)
    gateway.capture.judge(asked.id, asked.feedback, asked.better, key.id)
    return JSONResponse({"id": asked.id, "object": "feedback", "kept": True})
