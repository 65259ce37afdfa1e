"""/admin: models put and taken while serving, ladders moved by hand, the end of taking requests."""

import asyncio
import time
from typing import Annotated, Any

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luthier.artifact.example import Message
from luthier.engine.ports import ChatModel, Sampling
from luthier.event import Chose, Said, Warned, hush
from luthier.serve.body import read_limited
from luthier.serve.gateway import Gateway
from luthier.serve.guard import Guard
from luthier.serve.refusal import RefusedError
from luthier.serve.request import build_known, read_body
from luthier.serve.turn import Int, Text
from luthier.spec import Spec

PROBES = (Message("user", "Hello"), Message("user", "What do you know? 你知道什么？"))
PROBE_TOKENS = 12


class PutRequest(Spec):
    """The body of POST /admin/models."""

    name: Annotated[Text, Field(min_length=1, max_length=200)]
    """The name that clients ask for."""
    id: Annotated[Text, Field(min_length=1)]
    """What is served under it: an artifact's id, or a folder."""


class TakeRequest(Spec):
    """The body of POST /admin/models/remove."""

    name: Text


class LadderRequest(Spec):
    """The body of POST /admin/ladder."""

    model: Text
    rung: Int | None = None
    """The place among the rungs that may be used; null: by what is measured."""


class DrainRequest(Spec):
    """The body of POST /admin/drain."""

    seconds: Annotated[float, Field(ge=0, le=3600)] = 30.0
    """How long running answers may take to end."""
    on: bool = True
    """false: take requests again."""


def routes(gateway: Gateway, guard: Guard) -> list[Route]:
    """Give the routes of /admin; each asks for a key with the scope admin."""
    admin = Admin(gateway)

    def route(path: str, work: Any, method: str) -> Route:
        async def checked(request: Request) -> Response:
            _check(gateway, request)
            answer: Response = await work(request)
            return answer

        return Route(f"/admin{path}", guard(checked), methods=[method])

    return [
        route("/state", admin.state, "GET"),
        route("/models", admin.put, "POST"),
        route("/models/remove", admin.take, "POST"),
        route("/ladder", admin.ladder, "POST"),
        route("/drain", admin.drain, "POST"),
    ]


def _check(gateway: Gateway, request: Request) -> None:
    """Raise RefusedError unless the request brings a key that may administer; without any such key nobody may."""
    key = gateway.key_of(request)
    if not key.is_admin:
        raise RefusedError(
            "this asks for a key with the scope admin",
            where="the header Authorization",
            mend="luthier keys make --scope admin, and send that key",
            status=403,
            code="not_allowed",
        )


class Admin:
    """What may be changed while serving."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._changing = asyncio.Lock()

    async def state(self, request: Request) -> Response:
        """Say what is served and how it does."""
        gateway = self._gateway
        models = {
            name: {
                "model": served.model.name,
                "at_once": served.line.at_once,
                "running": served.line.running,
                "waiting": served.line.waiting,
                "waiting_tokens": served.line.waiting_tokens,
                "tokens_per_second": served.line.tokens_per_second,
                "breaker": served.breaker.state,
                "error_share": served.breaker.error_share,
            }
            for name, served in gateway.shelf.served.items()
        }
        ladders = {
            name: {"rung": ladder.at, "by_hand": ladder.is_by_hand, "rungs": [rung.name for rung in ladder.rungs]}
            for name, ladder in gateway.ladders.items()
        }
        return JSONResponse({"models": models, "ladders": ladders, "is_draining": gateway.is_draining})

    async def put(self, request: Request) -> Response:
        """Open a model and serve it; what had the name ends the requests it has."""
        asked, _ = build_known(PutRequest, await self._body(request))
        if self._gateway.given.open_model is None:
            raise RefusedError(
                "this server cannot open models", where="the server", mend="start it with luthier serve", status=403
            )
        loop = asyncio.get_running_loop()
        async with self._changing:
            begun = time.monotonic()
            model = await loop.run_in_executor(None, self._gateway.given.open_model, asked.id)
            before = self._gateway.shelf.served.get(asked.name)
            changed = None
            if before is not None:
                changed = await loop.run_in_executor(None, _says_otherwise, before.model, model)
                self._warn_if_same(asked, changed)
            self._gateway.shelf.put(asked.name, model)
        seconds = round(time.monotonic() - begun, 3)
        self._gateway.tell(Said(f"serving {model.name} as {asked.name}"))
        return JSONResponse({"name": asked.name, "model": model.name, "changed": changed, "seconds": seconds})

    def _warn_if_same(self, asked: PutRequest, changed: bool) -> None:
        if not changed:
            what = f"{asked.id} says the same as what was served as {asked.name!r} before"
            self._gateway.tell(Warned(what, "see whether it is the one that was meant, and that its weights were read"))

    async def take(self, request: Request) -> Response:
        """Serve a name no longer."""
        asked, _ = build_known(TakeRequest, await self._body(request))
        async with self._changing:
            held = [name for name, ladder in self._gateway.ladders.items() if asked.name in _rungs(ladder)]
            if held:
                raise RefusedError(
                    f"{asked.name!r} is a rung of the ladder of {held[0]!r}",
                    where="request body, key name",
                    mend="take another one, or restart the server without this ladder",
                )
            taken = self._gateway.shelf.take(asked.name)
        return JSONResponse({"name": asked.name, "model": taken.model.name})

    async def ladder(self, request: Request) -> Response:
        """Set a ladder's rung by hand."""
        asked, _ = build_known(LadderRequest, await self._body(request))
        ladder = self._gateway.ladders.get(asked.model)
        if ladder is None:
            raise RefusedError(
                f"there is no ladder for {asked.model!r}",
                where="request body, key model",
                mend=f"name one of: {', '.join(self._gateway.ladders) or '(this server has none)'}",
                status=404,
                code="not_found",
            )
        ladder.set(asked.rung)
        self._gateway.tell(Chose(f"rung of {asked.model}", ladder.rungs[ladder.at].name, "set by hand"))
        return JSONResponse({"model": asked.model, "rung": ladder.at, "by_hand": ladder.is_by_hand})

    async def drain(self, request: Request) -> Response:
        """Take no more requests (or take them again), and wait until what runs has ended."""
        asked, _ = build_known(DrainRequest, await self._body(request))
        self._gateway.is_draining = asked.on
        is_empty = await self._gateway.shelf.drained(asked.seconds) if asked.on else False
        return JSONResponse({"is_draining": asked.on, "is_empty": is_empty})

    async def _body(self, request: Request) -> dict[str, Any]:
        spec = self._gateway.spec
        return read_body(await read_limited(request, spec.body_bytes, spec.body_seconds))


def _rungs(ladder: Any) -> list[str]:
    return [rung.name for rung in ladder.rungs]


def _says_otherwise(before: ChatModel, after: ChatModel) -> bool:
    """Whether two models differ in what they say, or in how likely they find it, where both tell."""
    wishes = {"max_tokens": PROBE_TOKENS, "temperature": 0.0, "seed": 0}
    if "top_logprobs" in before.takes and "top_logprobs" in after.takes:
        wishes["top_logprobs"] = 1
    sampling = Sampling(**wishes)  # type: ignore[arg-type]
    prompts = [(turn,) for turn in PROBES]
    first, second = (model.answer(prompts, sampling, hush) for model in (before, after))
    return [(a.text, a.logprobs) for a in first] != [(a.text, a.logprobs) for a in second]
