"""A hub on this machine that speaks the Hugging Face protocol, and the other host where its large files lie.

Listing, tree in pages, resolve, redirects to the other host, ranges, ETags, the LFS batch API; and everything that
networks and servers do wrong.
"""

import hashlib
import json
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import quote, unquote

NAME = "maker/violin"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CHUNK = 8192


@dataclass
class Hub:
    """What it holds, how it misbehaves, and what it was asked."""

    files: dict[str, bytes]
    address: str
    store: str
    """Address of the other host, where what is in LFS lies."""
    kind: str = "models"
    refusal: tuple[int, dict[str, str]] | None = None
    """Status and headers of every answer, while set."""
    refusals: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    """The same, each once, for files only."""
    listing_refusals: deque[tuple[int, dict[str, str]]] = field(default_factory=deque)
    """The same for listings."""
    instead: dict[str, bytes] = field(default_factory=dict)
    """File name -> bytes sent in place of the true ones."""
    instead_once: bool = False
    drops: deque[int] = field(default_factory=deque)
    """Each cuts one connection after so many bytes of a large file."""
    stall_at: int | None = None
    """Sends so many bytes of a large file, then nothing more."""
    stalls: int = 1_000_000
    """How often it stalls."""
    stalled: threading.Event = field(default_factory=threading.Event)
    gives_ranges: bool = True
    gives_length: bool = True
    has_tree: bool = True
    entries_per_page: int = 1000
    tree_host: str | None = None
    """The host that links to the next page name, as mirrors pass them on."""
    etag: str | None = None
    """What stands before each ETag: `W/` makes them weak."""
    pause_seconds: float = 0.0
    """Between chunks of a large file."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """(method, path, headers with their names in lower case) of every request to the hub."""
    asked_store: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """The same of every request to the other host."""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of each file that went out."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def file_of(self, path: str) -> str | None:
        """Give the file name of a /resolve/ path, if this is one."""
        head = f"/{'datasets/' if self.kind == 'datasets' else ''}{NAME}/resolve/"
        return path.removeprefix(head).partition("/")[2] if path.startswith(head) else None

    def listing(self) -> dict[str, Any]:
        """Give the answer to /api/models/NAME/revision/REV?blobs=true."""
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": blob(data), **lfs(name, data)}
            for name, data in self.files.items()
        ]
        return {"_id": "1", "id": NAME, "sha": COMMIT, "siblings": siblings, "private": False, "tags": []}

    def tree(self) -> list[dict[str, Any]]:
        """Give the answer to /api/models/NAME/tree/REV."""
        folders = {name.rpartition("/")[0] for name in self.files if "/" in name}
        return [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in sorted(folders)] + [
            {"type": "file", "path": name, "size": len(data), "oid": blob(data), **lfs(name, data, key="oid")}
            for name, data in self.files.items()
        ]


def sha256(data: bytes) -> str:
    """Give what an LFS object is called."""
    return hashlib.sha256(data).hexdigest()


def blob(data: bytes) -> str:
    """Give what git calls a file's content. Source: git-scm.com, Pro Git, 10.2 Git Objects."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def is_large(name: str) -> bool:
    """Whether it lies in LFS."""
    return name.endswith((".safetensors", ".gguf", ".parquet"))


def lfs(name: str, data: bytes, key: str = "sha256") -> dict[str, Any]:
    """Give what a listing says of a file in LFS."""
    return {"lfs": {key: sha256(data), "size": len(data), "pointerSize": 100}} if is_large(name) else {}


class Server(ThreadingHTTPServer):
    """An HTTP server that carries its hub to the handlers."""

    daemon_threads = True
    request_queue_size = 64
    hub: Hub

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing when the other side was killed."""


class Quiet(BaseHTTPRequestHandler):
    """What both hosts do: answer, send a body with all its faults."""

    protocol_version = "HTTP/1.1"
    server: Server

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `asked` has it all."""

    def note(self, asked: list[tuple[str, str, dict[str, str]]]) -> str:
        """Keep what was asked; gives the path."""
        path = unquote(self.path.partition("?")[0])
        asked.append((self.command, path, {key.lower(): value for key, value in self.headers.items()}))
        return path

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer in one piece."""
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {}), "Content-Length": len(body)}.items():
            self.send_header(key, str(value))
        self.end_headers()
        self.wfile.write(body)

    def send_file(self, name: str) -> None:
        """Answer with a file, or the part of it that is asked for."""
        hub = self.server.hub
        if hub.refusals:
            status, headers = hub.refusals.popleft()
            self.send(status, b"{}", headers)
            return
        data = hub.instead.get(name, hub.files[name])
        if hub.instead_once:
            hub.instead.pop(name, None)
        etag = f'{hub.etag or ""}"{sha256(hub.files[name])}"'
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        is_same = self.headers.get("If-Range", etag) == etag
        headers = {"ETag": etag, "X-Repo-Commit": COMMIT}
        if wanted and hub.gives_ranges and is_same:
            begin, end = int(wanted[1]), int(wanted[2] or len(data) - 1)
            if begin >= len(data):
                self.send(416, b"", {"Content-Range": f"bytes */{len(data)}"})
                return
            body = data[begin : end + 1]
            headers["Content-Range"] = f"bytes {begin}-{begin + len(body) - 1}/{len(data)}"
            self._pour(name, 206, body, headers)
        else:
            self._pour(name, 200, data, headers)

    def _pour(self, name: str, status: int, body: bytes, headers: dict[str, str]) -> None:
        hub = self.server.hub
        self.send_response(status)
        length = {"Content-Length": str(len(body))} if hub.gives_length else {"Transfer-Encoding": "chunked"}
        for key, value in {**headers, **length}.items():
            self.send_header(key, value)
        self.end_headers()
        stop_at, is_stall = self._fault(name, len(body))
        sent = 0
        while sent < stop_at:
            piece = body[sent : min(sent + CHUNK, stop_at)]
            self.wfile.write(piece if hub.gives_length else b"%x\r\n%s\r\n" % (len(piece), piece))
            sent += len(piece)
            with hub.lock:
                hub.sent[name] += len(piece)
            if hub.pause_seconds and is_large(name):
                time.sleep(hub.pause_seconds)
        self.wfile.flush()
        if is_stall:
            hub.stalled.set()
            self.rfile.read(1)  # until the other side goes away
        if sent < len(body):
            self.close_connection = True
        elif not hub.gives_length:
            self.wfile.write(b"0\r\n\r\n")

    def _fault(self, name: str, length: int) -> tuple[int, bool]:
        """Give after how many bytes it goes wrong, and whether that is a stall."""
        hub = self.server.hub
        with hub.lock:
            if not is_large(name):
                return length, False
            if hub.drops:
                return min(length, hub.drops.popleft()), False
            if hub.stall_at is not None and length > hub.stall_at and hub.stalls > 0:
                hub.stalls -= 1
                return hub.stall_at, True
        return length, False


class Handler(Quiet):
    """The hub."""

    def do_GET(self) -> None:
        """Answer from the server's hub."""
        hub = self.server.hub
        path = self.note(hub.asked)
        name = hub.file_of(path)
        if hub.refusal is not None:
            self.send(hub.refusal[0], b"{}", hub.refusal[1])
        elif name is not None and name in hub.files:
            if is_large(name) and hub.store:
                # the hub sends elsewhere with a signature that must not be told
                where = {"Location": f"{hub.store}/{quote(name)}?X-Amz-Signature=signed", "X-Linked-Size": "1"}
                self.send(302, b"", where)
            else:
                self.send_file(name)
        elif path.startswith("/plain/") and path.removeprefix("/plain/") in hub.files:
            self.send_file(path.removeprefix("/plain/"))
        elif hub.listing_refusals:
            status, headers = hub.listing_refusals.popleft()
            self.send(status, b"{}", headers)
        elif path.startswith(f"/api/{hub.kind}/{NAME}/tree/") and hub.has_tree:
            self._send_tree(path)
        elif path in (f"/api/{hub.kind}/{NAME}/revision/main", f"/api/{hub.kind}/{NAME}/revision/{COMMIT}"):
            self.send(200, json.dumps(hub.listing()).encode())
        elif path.startswith(f"/api/{hub.kind}/{NAME}/revision/"):
            self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def do_POST(self) -> None:
        """Answer the LFS batch API."""
        hub = self.server.hub
        self.note(hub.asked)
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        held = {sha256(data): name for name, data in hub.files.items()}
        objects = []
        for asked in question["objects"]:
            name = held.get(asked["oid"])
            if name is None:
                objects.append({**asked, "error": {"code": 404, "message": "Object does not exist"}})
            else:
                href = {"href": f"{hub.store}/{name}", "header": {"Authorization": "Basic store-only"}}
                objects.append({**asked, "actions": {"download": href}})
        body = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self.send(200, body, {"Content-Type": "application/vnd.git-lfs+json"})

    def _send_tree(self, path: str) -> None:
        hub = self.server.hub
        cursor = re.search(r"cursor=(\d+)", self.path)
        begin = int(cursor[1]) if cursor else 0
        entries = hub.tree()
        end = begin + hub.entries_per_page
        headers = {}
        if end < len(entries):
            host = hub.tree_host or hub.address
            headers["Link"] = f'<{host}{path}?recursive=true&cursor={end}>; rel="next"'
        self.send(200, json.dumps(entries[begin:end]).encode(), headers)


class StoreHandler(Quiet):
    """The other host."""

    def do_GET(self) -> None:
        """Give a large file."""
        hub = self.server.hub
        name = self.note(hub.asked_store).removeprefix("/")
        if name in hub.files:
            self.send_file(name)
        else:
            self.send(404, b"")


@contextmanager
def listening(handler: type[Quiet]) -> Iterator[Server]:
    """Listen on a free port until the block ends."""
    server = Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def address_of(server: Server) -> str:
    """Give the address a client asks."""
    return f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def serving(files: dict[str, bytes], kind: str = "models") -> Iterator[Hub]:
    """Serve a repository until the block ends."""
    with listening(Handler) as server, listening(StoreHandler) as store:
        hub = Hub(files, address_of(server), address_of(store), kind)
        server.hub = store.hub = hub
        yield hub
