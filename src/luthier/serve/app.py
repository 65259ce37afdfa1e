"""The routes: what OpenAI's clients ask, in front of whatever answers."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from luthier.engine.ports import ChatModel
from luthier.event import Tell, hush
from luthier.serve import admin, embedding, feedback, page
from luthier.serve.about import About
from luthier.serve.exchange import Exchange, MakeShape, Read
from luthier.serve.follow import following
from luthier.serve.gateway import Gateway
from luthier.serve.given import Given
from luthier.serve.guard import Guard
from luthier.serve.likely import Spell
from luthier.serve.refusal import RefusedError, headers_of, of_status, status_of, to_plain
from luthier.serve.request import Asked, read_chat, read_completion
from luthier.serve.response import Form
from luthier.serve.responses_form import ResponsesForm
from luthier.serve.responses_request import ResponsesRequest, read_responses
from luthier.serve.spec import ServeSpec


def build_app(spec: ServeSpec, models: Sequence[ChatModel], tell: Tell = hush, given: Given | None = None) -> Starlette:
    """Make the ASGI application that serves these models by their names."""
    gateway = Gateway(spec, models, tell, given or Given())
    guard = Guard(gateway)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        async with following(gateway):
            yield
        await gateway.shelf.close()

    async def not_served(request: Request, error: Exception) -> Response:
        status = status_of(error)
        return JSONResponse(of_status(status, request.url.path), status, headers_of(error))

    cors = [Middleware(CORSMiddleware, allow_origins=list(spec.cors), allow_methods=["*"], allow_headers=["*"])]
    app = Starlette(
        routes=[
            *_api(gateway, guard),
            *_about(gateway, guard),
            *admin.routes(gateway, guard),
            *page.routes(),
        ],
        middleware=[*(cors if spec.cors else ()), Middleware(Gate, header_bytes=spec.header_bytes)],
        exception_handlers={HTTPException: not_served},
        lifespan=living,
    )
    app.state.gateway = gateway
    return app


class Gate:
    """Refuses headers that are too long, and gives each response the name of its request."""

    def __init__(self, app: ASGIApp, header_bytes: int) -> None:
        self._app = app
        self._most = header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        size = sum(len(name) + len(value) for name, value in scope["headers"])
        if size > self._most:
            error = RefusedError(
                f"the headers have {size} bytes",
                where="the headers",
                mend=f"send at most {self._most}, or start the server with a greater header_bytes",
                status=431,
                code="request_too_large",
            )
            await JSONResponse(to_plain(error), 431)(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
        name = given if 0 < len(given) <= 128 and given.isascii() else f"req-{time.time_ns():x}".encode()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", name)]
            await send(message)

        await self._app(scope, receive, named)


def _api(gateway: Gateway, guard: Guard) -> list[Route]:
    async def answered(request: Request, read: Read, shape: MakeShape = Form) -> Any:
        exchange = Exchange(gateway, request)
        try:
            await exchange.read(read)
            return await guard.unless_gone(request, exchange.respond(shape))
        except Exception as error:
            model = exchange.asked.model if exchange.asked else ""
            code = to_plain(error)["error"]["code"]
            gateway.counted(model, exchange.key, status_of(error), code or "")
            raise

    async def chat(request: Request) -> Any:
        return await answered(request, read_chat)

    async def completions(request: Request) -> Any:
        return await answered(request, read_completion)

    async def responses(request: Request) -> Any:
        found: list[ResponsesRequest] = []

        def read(body: bytes, max_tokens: int | None, most: int) -> Asked:
            asked, own = read_responses(body, max_tokens, most)
            found.append(own)
            return asked

        def shape(asked: Asked, fingerprint: str, spell: Spell, echoes: Sequence[str]) -> ResponsesForm:
            return ResponsesForm(asked, found[0], spell)

        return await answered(request, read, shape)

    async def embeddings(request: Request) -> Response:
        return await embedding.embed(gateway, request)

    async def judged(request: Request) -> Response:
        return await feedback.judge(gateway, request)

    posts = {
        "/v1/chat/completions": chat,
        "/v1/completions": completions,
        "/v1/responses": responses,
        "/v1/embeddings": embeddings,
        "/v1/feedback": judged,
    }
    return [Route(path, guard(work), methods=["POST"]) for path, work in posts.items()]


def _about(gateway: Gateway, guard: Guard) -> list[Route]:
    about = About(gateway)
    gets = {
        "/v1/models": about.models,
        "/v1/models/{name:path}": about.model,
        "/health": about.live,
        "/health/live": about.live,
        "/health/ready": about.ready,
        "/metrics": about.metrics,
        "/openapi.json": about.described,
    }
    return [Route(path, guard(work), methods=["GET"]) for path, work in gets.items()]
