"""A ModelScope on this machine: its listings, its pages of data, its files, and the other host they lie on."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, quote, urlsplit

from local_hub import Hub, Quiet, StoreHandler, address_of, is_large, listening, sha256

NAME = "maker/violin"
COMMIT = "89abcdef0123456789abcdef0123456789abcdef"


class ModelScopeHandler(Quiet):
    """Answers as /api/v1 of modelscope.cn does."""

    def do_GET(self) -> None:  # noqa: N802 (http.server calls it so)
        """Answer from the server's hub."""
        hub = self.server.hub
        path = self.note(hub.asked)
        asked = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        api = f"/api/v1/{hub.kind}/{NAME}/repo"
        if hub.refusal is not None:
            self.send(hub.refusal[0], b"{}", hub.refusal[1])
        elif asked.get("Revision") not in ("master", COMMIT) and path.startswith(api):
            self.say(200, {"Code": 10010205001, "Message": "revision not found", "Success": False, "Data": None})
        elif path == api:
            self._send_file(asked["FilePath"])
        elif path == f"{api}/files" and hub.kind == "models" and asked["Recursive"] == "true":
            self._list(entries(hub))
        elif path == f"{api}/tree" and hub.kind == "datasets" and asked["Recursive"] == "true":
            size = min(hub.entries_per_page, int(asked["PageSize"]))
            begin = (int(asked["PageNumber"]) - 1) * size
            self._list(entries(hub)[begin : begin + size])
        else:
            self.say(404, {"Code": 10010205001, "Message": "record not found", "Success": False})

    def say(self, status: int, answer: dict[str, object]) -> None:
        """Answer with JSON."""
        self.send(status, json.dumps(answer).encode())

    def _list(self, files: list[dict[str, object]]) -> None:
        self.say(200, {"Code": 200, "Message": "success", "Success": True, "Data": {"Files": files}})

    def _send_file(self, name: str) -> None:
        hub = self.server.hub
        if name not in hub.files:
            self.say(404, {"Code": 404, "Message": "file not found", "Success": False})
        elif is_large(name):
            self.send(302, b"", {"Location": f"{hub.store}/{quote(name)}?auth_key=signed"})
        else:
            self.send_file(name)


def entries(hub: Hub) -> list[dict[str, object]]:
    """Give what the listing says of each file and folder."""
    folders = sorted({name.rpartition("/")[0] for name in hub.files if "/" in name})
    found: list[dict[str, object]] = [
        {"Name": folder, "Path": folder, "Type": "tree", "Size": 0, "Sha256": "", "Revision": COMMIT}
        for folder in folders
    ]
    for name, data in hub.files.items():
        facts: dict[str, object] = {"Name": name.rpartition("/")[2], "Path": name, "Type": "blob", "Size": len(data)}
        found.append({**facts, "Sha256": sha256(data), "IsLFS": is_large(name), "Revision": COMMIT})
    return found


@contextmanager
def serving_modelscope(files: dict[str, bytes], kind: str = "models") -> Iterator[Hub]:
    """Serve a repository until the block ends."""
    with listening(ModelScopeHandler) as server, listening(StoreHandler) as store:
        hub = Hub(files, address_of(server), address_of(store), kind)
        server.hub = store.hub = hub
        yield hub
