"""The chat page at `/`: a few plain files, no build step, nothing from elsewhere."""

import json
import tomllib
from functools import cache
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
FILES = ("chat.css", "chat.js", "markdown.js")


def routes() -> list[Route]:
    """Give the routes of the page."""

    def route(path: str, name: str) -> Route:
        async def sent(request: Request) -> Response:
            return Response(_read(name), media_type=TYPES[name.rpartition(".")[2]], headers=HEADERS)

        return Route(path, sent, methods=["GET"])

    async def words(request: Request) -> Response:
        return Response(_words(), media_type="application/json", headers=HEADERS)

    return [
        route("/", "index.html"),
        *(route(f"/page/{name}", name) for name in FILES),
        Route("/page/words.json", words, methods=["GET"]),
    ]


@cache
def _read(name: str) -> bytes:
    return files("luthier.serve").joinpath("page_files", name).read_bytes()


@cache
def _words() -> str:
    """Give the words of the page, in each language."""
    return json.dumps(tomllib.loads(_read("words.toml").decode("utf-8")), ensure_ascii=False)
