"""A hub on this machine that serves one data set, as `datasets` asks for it."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

NAME = "maker/violins"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
LISTINGS = [f"/api/datasets/{NAME}{end}" for end in ("", "/revision/main", f"/revision/{COMMIT}")]


class Handler(BaseHTTPRequestHandler):
    """Answers listings and files, from the `files` of its server."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send what is asked for."""
        path, files = self.path.partition("?")[0], self.server.files
        parts = path.split("/")
        if path in LISTINGS:
            siblings = [{"rfilename": name} for name in files]
            self._json({"_id": "1", "id": NAME, "sha": COMMIT, "siblings": siblings, "tags": []})
        elif path.startswith(f"/api/datasets/{NAME}/tree/"):
            self._json([entry for entry in tree(files) if entry["path"].split("/")[:-1] == parts[7:]])
        elif path.startswith(f"/datasets/{NAME}/resolve/") and "/".join(parts[6:]) in files:
            data = files["/".join(parts[6:])]
            self._send(200, data, {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT})
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound" if NAME in path else "RepoNotFound"})

    def do_HEAD(self) -> None:
        """Send the same, without its body."""
        self.do_GET()

    def do_POST(self) -> None:
        """Send what is known of the paths asked for."""
        asked = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self._json([entry for entry in tree(self.server.files) if entry["path"] in asked])

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """Carries its files to the handlers."""

    files: dict[str, bytes]


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[str]:
    """Serve a repository until the block ends. Gives the hub's address."""
    server = Server(("127.0.0.1", 0), Handler)
    server.files = files
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def tree(files: dict[str, bytes]) -> list[dict[str, Any]]:
    """Give the entries of the repository: folders, then files."""
    folders = sorted({name.rpartition("/")[0] for name in files if "/" in name})
    return [{"type": "directory", "path": folder, "size": 0, "oid": "0" * 40} for folder in folders] + [
        {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
        for name, data in files.items()
    ]
