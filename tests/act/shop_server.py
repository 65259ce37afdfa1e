"""A small HTTP API on this machine, its OpenAPI document, and what it was asked."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

ORDERS = {7: {"id": 7, "state": "shipped"}, 8: {"id": 8, "state": "waiting"}}


@dataclass
class Shop:
    """A running shop."""

    port: int
    asked: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    """(method, path with query, headers, body)."""
    failures: int = 0
    """So many requests get status 503 before one is answered."""
    target: str = ""
    """Where /moved leads."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    """Answers as the shop of its server."""

    protocol_version = "HTTP/1.1"

    @property
    def shop(self) -> Shop:
        found: Shop = self.server.shop  # type: ignore[attr-defined]
        return found

    def log_message(self, *_: Any) -> None:
        pass

    def respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.shop.asked.append((self.command, self.path, headers, body))
        if self.shop.failures:
            self.shop.failures -= 1
            self.send(503, b"later", "text/plain")
            return
        self.route(urlsplit(self.path).path, body)

    do_GET = do_POST = do_DELETE = respond

    def route(self, path: str, body: bytes) -> None:
        query = parse_qsl(urlsplit(self.path).query)
        echo = json.dumps({"headers": dict(self.headers), "query": query}).encode()
        fixed: dict[str, tuple[Any, ...]] = {
            "/moved": (302, b"", "text/plain", {"Location": self.shop.target}),
            "/big": (200, b"x" * 300_000, "text/plain"),
            "/zip": (200, b"\x1f\x8b", "text/plain", {"Content-Encoding": "gzip"}),
            "/echo": (200, echo, "application/json"),
            "/picture": (200, b"\x89PNG\x00", "image/png"),
            "/orders": (201, body, "application/json"),
        }
        last = path.rpartition("/")[2]
        order = ORDERS.get(int(last)) if last.isdigit() else None
        known = fixed.get(path) or (order and (200, json.dumps(order).encode(), "application/json"))
        self.send(*(known or (404, b'{"problem": "no such order"}', "application/json")))

    def send(self, status: int, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked for less has left
            self.wfile.write(body)


@contextmanager
def open_shop() -> Iterator[Shop]:
    """Run a shop as long as the context is open."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    shop = Shop(server.server_address[1])
    server.shop = shop  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield shop
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def document_of(port: int = 0, **more: Any) -> dict[str, Any]:
    """Give the shop's OpenAPI document."""
    number = {"name": "number", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
    order = {"type": "object", "properties": {"what": {"type": "string"}, "count": {"type": "integer"}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Shop", "version": "1"},
        "servers": [{"url": f"http://127.0.0.1:{port}"}],
        "paths": {
            "/orders/{number}": {
                "get": {"operationId": "getOrder", "summary": "Looks up an order.", "parameters": [number]},
                "delete": {"operationId": "deleteOrder", "summary": "Deletes an order.", "parameters": [number]},
            },
            "/orders": {
                "post": {
                    "operationId": "createOrder",
                    "summary": "Orders something.",
                    "requestBody": {
                        "required": True,
                        "content": {"application/json": {"schema": {**order, "required": ["what"]}}},
                    },
                }
            },
            **{f"/{name}": {"get": {"operationId": name}} for name in ("moved", "big", "zip", "echo", "picture")},
        },
        **more,
    }


def write_document(folder: Path, document: dict[str, Any], name: str = "shop.json") -> str:
    path = folder / name
    path.write_text(json.dumps(document), encoding="utf-8")
    return str(path)
