"""What the server says of itself: its models, its health, its figures, its description."""

import time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from luthier.serve.gateway import Gateway
from luthier.serve.health import ready
from luthier.serve.openapi import openapi

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


class About:
    """Answers what changes nothing."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._started = int(time.time())

    async def models(self, request: Request) -> Response:
        """List the models that the key may ask."""
        key = self._gateway.key_of(request)
        names = [*self._gateway.names(), *self._gateway.shelf.embedders]
        return JSONResponse({"object": "list", "data": [self._card(name) for name in names if key.may_ask(name)]})

    async def model(self, request: Request) -> Response:
        """Say what there is under one name. Raises RefusedError (404, 403)."""
        key = self._gateway.key_of(request)
        name = request.path_params["name"]
        if name not in self._gateway.shelf.embedders and name not in self._gateway.names():
            name = self._gateway.shelf.find(name).name
        self._gateway.check_scope(key, name)
        return JSONResponse(self._card(name))

    def _card(self, name: str) -> dict[str, Any]:
        served = self._gateway.shelf.served.get(name)
        created = served.created if served is not None else self._started
        return {"id": name, "object": "model", "created": created, "owned_by": "luthier"}

    async def live(self, request: Request) -> Response:
        """The server lives, as this answer shows."""
        return JSONResponse({"status": "ok", "models": self._gateway.names()})

    async def ready(self, request: Request) -> Response:
        """Say whether the engines do their work; the details are for who may ask them."""
        is_well, state = await ready(self._gateway)
        shown = state if self._may_look(request) else {"status": state["status"]}
        return JSONResponse(shown, 200 if is_well else 503, None if is_well else {"Retry-After": "1"})

    def _may_look(self, request: Request) -> bool:
        if not self._gateway.keys():
            return True
        if "authorization" not in request.headers:
            return False
        self._gateway.key_of(request)
        return True

    async def metrics(self, request: Request) -> Response:
        """Give the figures."""
        self._gateway.key_of(request)
        self._gateway.refresh()
        return Response(self._gateway.metrics.text(), media_type=PROMETHEUS)

    async def described(self, request: Request) -> Response:
        """Describe the API."""
        return JSONResponse(openapi())
