"""A small hub on this machine that speaks the Hugging Face protocol: listing, tree, HEAD and GET."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "maker/violin"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """What it holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    address: str
    refusal: tuple[int, dict[str, str]] | None = None
    """Status and headers of every answer, while set."""
    instead: dict[str, bytes] = field(default_factory=dict)
    """File name -> bytes sent in place of the true ones."""
    stall_at: int | None = None
    """Sends so many bytes of a large file, then nothing more."""
    stalled: threading.Event = field(default_factory=threading.Event)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(method, path, headers with their names in lower case) of every request."""

    def file_of(self, path: str) -> str | None:
        """Give the file name of a /resolve/ path, if this is one."""
        head = f"/{NAME}/resolve/"
        return path.removeprefix(head).partition("/")[2] if path.startswith(head) else None

    def listing(self) -> dict[str, Any]:
        """Give the answer to /api/models/NAME/revision/REV."""
        siblings = [{"rfilename": name, "size": len(data), **_lfs(name, data)} for name, data in self.files.items()]
        return {
            "_id": "1",
            "id": NAME,
            "modelId": NAME,
            "sha": COMMIT,
            "siblings": siblings,
            "private": False,
            "tags": [],
        }

    def tree(self) -> list[dict[str, Any]]:
        """Give the answer to /api/models/NAME/tree/REV."""
        return [
            {"type": "file", "path": name, "size": len(data), "oid": _etag(data), **_lfs(name, data, key="oid")}
            for name, data in self.files.items()
        ]


def _etag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _lfs(name: str, data: bytes, key: str = "sha256") -> dict[str, Any]:
    if not name.endswith(".safetensors"):
        return {}
    return {"lfs": {key: _etag(data), "size": len(data), "pointerSize": 100}}


class Server(ThreadingHTTPServer):
    """An HTTP server that carries its hub to the handlers."""

    daemon_threads = True
    hub: Hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when the other side was killed."""


class Handler(BaseHTTPRequestHandler):
    """Answers from the server's hub."""

    protocol_version = "HTTP/1.1"
    server: Server

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._answer(with_body=False)

    def do_GET(self) -> None:
        """Answer."""
        self._answer(with_body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `asked` has it all."""

    def _answer(self, *, with_body: bool) -> None:
        hub = self.server.hub
        path = self.path.partition("?")[0]
        hub.asked.append((self.command, path, {key.lower(): value for key, value in self.headers.items()}))
        name = hub.file_of(path)
        if hub.refusal is not None:
            self._send(hub.refusal[0], b"{}", hub.refusal[1], with_body)
        elif name is not None and name in hub.files:
            etag = {"ETag": f'"{_etag(hub.files[name])}"', "X-Repo-Commit": COMMIT}
            self._send(200, hub.instead.get(name, hub.files[name]), etag, with_body)
        elif path.startswith(f"/api/models/{NAME}/tree/"):
            self._send(200, json.dumps(hub.tree()).encode(), {}, with_body)
        elif path in (f"/api/models/{NAME}", f"/api/models/{NAME}/revision/main"):
            self._send(200, json.dumps(hub.listing()).encode(), {}, with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, with_body)

    def _send(self, status: int, body: bytes, headers: dict[str, str], with_body: bool) -> None:
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))}.items():
            self.send_header(key, value)
        self.end_headers()
        stall_at = self.server.hub.stall_at
        if with_body and stall_at is not None and len(body) > stall_at:
            self.wfile.write(body[:stall_at])
            self.wfile.flush()
            self.server.hub.stalled.set()
            self.rfile.read(1)  # until the other side goes away
            self.close_connection = True
        elif with_body:
            self.wfile.write(body)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    """Serve a model until the block ends."""
    server = Server(("127.0.0.1", 0), Handler)
    server.hub = Hub(files, address=f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield server.hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
