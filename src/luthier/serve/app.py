"""The routes: what the OpenAI client asks, in front of whatever answers."""

import asyncio
import hmac
import time
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from luthier.engine.ports import Answer, ChatModel, Piece, Prompt, Sampling
from luthier.event import Failed, Tell, hush
from luthier.serve.queue import Queue
from luthier.serve.refusal import RefusedError, of_status, status_of, to_plain
from luthier.serve.request import Asked, read_chat, read_completion
from luthier.serve.response import DONE, Form, event
from luthier.serve.spec import ServeSpec

DRAINED_TIMES = 16
"""A body that is too long is read (and thrown away) up to so many times the limit: a client that is still sending
would see a broken pipe instead of the answer."""

STOPPING = RefusedError("the server is stopping", where="the server", mend="ask again when it is back", status=503)

Said = AsyncGenerator[tuple[int, Piece], None]


def build_app(spec: ServeSpec, models: Sequence[ChatModel], tell: Tell = hush) -> FastAPI:
    """Make the ASGI application that serves these models by their names."""
    app = FastAPI(title="Luthier", docs_url=None, redoc_url=None, openapi_url=None)
    queues = {model.name: Queue(model, spec.waiting) for model in models}
    app.include_router(_routes(spec, queues, tell))

    @app.get("/health")
    async def health() -> Mapping[str, Any]:
        return {"status": "ok", "models": list(queues)}

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        return JSONResponse(of_status(error.status_code, request.url.path), error.status_code, error.headers)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> Response:
        return JSONResponse(to_plain(error), error.status, error.headers)

    return app


def _authoriser(spec: ServeSpec) -> Callable[[Request], Awaitable[None]]:
    async def authorise(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ").encode()
        keys = [key.get_secret_value().encode() for key in spec.api_keys]
        if keys and not any(hmac.compare_digest(given, key) for key in keys):
            raise RefusedError(
                "no valid API key was sent",
                where="the header Authorization",
                mend="send 'Authorization: Bearer KEY' with a key of this server",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )

    return authorise


def _routes(spec: ServeSpec, queues: Mapping[str, Queue], tell: Tell) -> APIRouter:
    routes = APIRouter(prefix="/v1", dependencies=[Depends(_authoriser(spec))])
    created = int(time.time())

    def card(name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": created, "owned_by": "luthier"}

    @routes.get("/models")
    async def models() -> Mapping[str, Any]:
        return {"object": "list", "data": [card(name) for name in queues]}

    @routes.get("/models/{name:path}")
    async def model(name: str) -> Mapping[str, Any]:
        _find(queues, name)
        return card(name)

    async def answered(request: Request, read: Callable[[bytes, int | None], Asked]) -> Response:
        try:
            asked = read(await _body(request, spec.body_bytes), spec.max_tokens)
            response = await _unless_gone(request, _respond(_find(queues, asked.model), asked, tell))
        except ClientDisconnect:
            response = None
        except asyncio.CancelledError:  # the server was told to stop, and this answer took too long to begin
            return JSONResponse(to_plain(STOPPING), STOPPING.status)
        except Exception as error:  # whatever it is, the client gets an error object
            return _failed(error, tell)
        return response or Response(status_code=499)  # the client has left: nobody reads this

    @routes.post("/chat/completions")
    async def chat(request: Request) -> Response:
        return await answered(request, read_chat)

    @routes.post("/completions")
    async def completions(request: Request) -> Response:
        return await answered(request, read_completion)

    return routes


def _find(queues: Mapping[str, Queue], name: str) -> Queue:
    if name not in queues:
        raise RefusedError(
            f"there is no model {name!r}",
            where="request body, key model",
            mend=f"ask for one of: {', '.join(queues)}",
            status=404,
            code="model_not_found",
        )
    return queues[name]


async def _body(request: Request, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > limit * DRAINED_TIMES:
            break
    if size > limit:
        raise RefusedError(
            f"the body is longer than {limit} bytes",
            where="request body",
            mend="send less at once, or start the server with a greater body_bytes",
            status=413,
            code="request_too_large",
        )
    return b"".join(parts)


async def _respond(queue: Queue, asked: Asked, tell: Tell) -> Response:
    said = queue.say(_wishes(asked))
    if not asked.is_stream:
        async with aclosing(said):
            answers = [piece.answer async for _, piece in said if piece.answer is not None]
        return JSONResponse(Form(asked).whole(answers))
    first = await anext(said)  # errors before the first token still get their status
    return StreamingResponse(_events(first, said, asked, tell), media_type="text/event-stream", headers=NO_BUFFER)


NO_BUFFER = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}


def _wishes(asked: Asked) -> list[tuple[Prompt, Sampling]]:
    """Give every prompt as often as it is to be answered; each of its answers draws from its own seed."""
    seed = asked.sampling.seed
    samplings = [
        asked.sampling if seed is None else replace(asked.sampling, seed=(seed + index) % 2**63)
        for index in range(asked.choices_per_prompt)
    ]
    return [(prompt, sampling) for prompt in asked.prompts for sampling in samplings]


async def _events(first: tuple[int, Piece], said: Said, asked: Asked, tell: Tell) -> AsyncIterator[str]:
    form = Form(asked)
    answers: list[Answer] = []
    opened = -1
    async with aclosing(said):
        try:
            async for index, piece in _chain(first, said):
                if index > opened:
                    opened = index
                    for chunk in form.opening(index, piece):
                        yield event(chunk)
                for chunk in form.chunks(index, piece):
                    yield event(chunk)
                if piece.answer is not None:
                    answers.append(piece.answer)
            if asked.counts_usage:
                yield event(form.counted(answers))
        except Exception as error:  # the status is sent already: the error goes as an event
            _report(error, tell)
            yield event(to_plain(error))
        yield DONE


async def _chain(first: tuple[int, Piece], rest: Said) -> AsyncIterator[tuple[int, Piece]]:
    yield first
    async for item in rest:
        yield item


async def _unless_gone(request: Request, work: Any) -> Response | None:
    """Give what `work` gives, or None once the client has left: then the work is cancelled."""
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            return None
        response: Response = working.result()
        return response
    finally:
        leaving.cancel()
        working.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _failed(error: Exception, tell: Tell) -> Response:
    _report(error, tell)
    headers = error.headers if isinstance(error, RefusedError) else None
    return JSONResponse(to_plain(error), status_of(error), headers)


def _report(error: Exception, tell: Tell) -> None:
    """Tell whoever runs the server what the client cannot mend."""
    if status_of(error) >= 500:
        lines = "".join(traceback.format_exception(error)).rstrip()
        tell(Failed(f"a request failed: {error}", where=lines, mend="the server goes on; mend what is named above"))
