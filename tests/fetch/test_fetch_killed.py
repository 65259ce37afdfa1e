"""Fetching killed at any byte, and two processes that fetch the same."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from local_hub import Hub, serving, sha256
from safetensors.numpy import save

from luthier.artifact.store import Artifact, Store
from luthier.event import Event, Said, Skipped, hush
from luthier.fetch.line import Line
from luthier.fetch.partial import Item
from luthier.fetch.refusal import Asked
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.fetch.transfer import bring

FETCH = """
import json, sys
from luthier.artifact.store import Store
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
print(fetch(FetchSpec(**json.loads(sys.argv[1])), Store(sys.argv[2]), lambda event: print(event, flush=True)).id)
"""
"""Fetches in a process of its own: the spec as JSON, the store; tells on stdout."""

BRING = """
import sys
from pathlib import Path
from luthier.event import hush
from luthier.fetch.line import Line
from luthier.fetch.partial import Item
from luthier.fetch.refusal import Asked
from luthier.fetch.transfer import bring
url, size, digest, folder = sys.argv[1:]
item = Item("big.safetensors", url, Asked("big", url), int(size), digest)
with Line(hush) as line:
    bring([item], Path(folder) / "out", Path(folder) / "work", line, 4, 50_000)
"""
SIZE = 2_000_000
SOCKET_BYTES = 4 * 200_000
"""What may be on its way to four connections when a process dies: sent, and never read."""


@pytest.fixture
def hub(tiny_model: Artifact) -> Iterator[Hub]:
    """A hub with a model of two megabytes, which it sends slowly."""
    files = {path.name: path.read_bytes() for path in tiny_model.folder.iterdir() if path.name != "card.json"}
    files["model.safetensors"] = save({"weight": np.random.default_rng(3).random(SIZE // 4, np.float32)})
    with serving(files) as served:
        yield served


def spec_of(hub: Hub) -> dict[str, str]:
    return {"source": "maker/violin", "endpoint": hub.address}


def child(script: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)


def journalled(path: Path) -> int:
    return sum(np.frombuffer(path.read_bytes(), "<u8").tolist())


def wait_until(holds: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_killed_again_and_again_a_file_is_loaded_about_once(tmp_path: Path) -> None:
    data = random.Random(9).randbytes(SIZE)
    draw = random.Random(2)
    with serving({"big.safetensors": data}) as hub:
        hub.pause_seconds = 0.01
        (tmp_path / "work").mkdir()
        url = f"{hub.address}/maker/violin/resolve/main/big.safetensors"
        received = [0]
        for _ in range(4):
            before = hub.sent["big.safetensors"]
            process = child(BRING, url, str(SIZE), sha256(data), str(tmp_path))
            more = draw.randrange(50_000, 300_000)
            wait_until(lambda wanted=before + more: hub.sent["big.safetensors"] > wanted)  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
            process.communicate()
            journal = next((tmp_path / "work" / "transfer").glob("*.got"))
            received.append(journalled(journal))
        assert received == sorted(set(received))  # each went on from where the last one died
        time.sleep(0.2)  # the server finds out that nobody reads
        before = hub.sent["big.safetensors"]
        hub.pause_seconds = 0
        item = Item("big.safetensors", url, Asked("big", url), SIZE, sha256(data))
        with Line(hush) as line:
            bring([item], tmp_path / "out", tmp_path / "work", line, 4, 50_000)
        assert hub.sent["big.safetensors"] - before == SIZE - received[-1]
    assert (tmp_path / "out" / "big.safetensors").read_bytes() == data


def test_a_kill_leaves_no_artifact_and_whole_files_are_not_loaded_again(hub: Hub, store: Store) -> None:
    hub.stall_at = 100_000
    process = child(FETCH, json.dumps(spec_of(hub)), str(store.root))
    try:
        assert hub.stalled.wait(60)
        wait_until(lambda: len(list(store.work.glob("*/transfer/*.whole"))) == 5)
        wait_until(lambda: sum(map(journalled, store.work.glob("*/transfer/*.got"))) == 100_000)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert not store.cards()
    hub.stall_at = None
    hub.asked.clear()
    before = hub.sent["model.safetensors"]
    made = fetch(FetchSpec(**spec_of(hub)), store, hush)
    assert (made.folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert {hub.file_of(path) for _, path, _ in hub.asked} - {None} == {"model.safetensors"}
    assert hub.sent["model.safetensors"] - before == len(hub.files["model.safetensors"]) - 100_000


@pytest.mark.slow
def test_two_processes_share_one_download(hub: Hub, store: Store, told: list[Event]) -> None:
    hub.pause_seconds = 0.005
    process = child(FETCH, json.dumps(spec_of(hub)), str(store.root))
    wait_until(lambda: hub.sent["model.safetensors"] > 50_000)
    made = fetch(FetchSpec(**spec_of(hub)), store, told.append)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert output.splitlines()[-1] == made.id
    assert told == [
        Said(f"process {process.pid} is making {made.id} right now: waiting for it"),
        Skipped("fetch", made.id, str(made.folder)),
    ]
    assert hub.sent["model.safetensors"] == len(hub.files["model.safetensors"])


def test_who_waits_goes_on_where_the_first_was_killed(hub: Hub, store: Store, told: list[Event]) -> None:
    hub.stall_at = 1_000_000
    process = child(FETCH, json.dumps(spec_of(hub)), str(store.root))
    assert hub.stalled.wait(60)

    def tell(event: Event) -> None:
        told.append(event)
        if isinstance(event, Said):
            hub.stall_at = None
            process.send_signal(signal.SIGKILL)

    made = fetch(FetchSpec(**spec_of(hub)), store, tell)
    process.communicate()
    assert (made.folder / "model.safetensors").read_bytes() == hub.files["model.safetensors"]
    assert hub.sent["model.safetensors"] <= len(hub.files["model.safetensors"]) + SOCKET_BYTES
