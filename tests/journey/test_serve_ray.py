"""Two servers on a local Ray cluster, by the real command: asked, killed, upgraded, stopped."""

from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from real_serving import Clients, Project, kill, wait_for

pytestmark = [
    pytest.mark.journey,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not here (pip install 'luthier[ray]')"),
]
REPLICA = "ray::ServeReplica:luthier"


def replicas() -> list[int]:
    """Give the numbers of the processes that are servers."""
    found = []
    for place in Path("/proc").iterdir():
        if place.name.isdigit():
            try:
                if (place / "cmdline").read_text().startswith(REPLICA):
                    found.append(int(place.name))
            except OSError:
                continue
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("ray"))


@pytest.fixture(scope="module")
def releases(project: Project) -> list[str]:
    return project.releases("2e-2", "1e-2")


def test_servers_share_the_load_are_replaced_and_upgraded_without_a_failed_request(
    project: Project, releases: list[str]
) -> None:
    first, second = releases
    settings = ["cluster.replicas=2", "cluster.cpus=0.5"]
    with project.serving("--cluster", "ray", "--dtype", "float32", *settings, seconds=240) as server:
        assert "2 servers" in server.said()
        assert len(replicas()) == 2
        with Clients(server, second, retries=3) as clients:
            clients.wait(8)
            assert len({_requests(server.url) for _ in range(12)}) > 1  # both are asked
            [dead, kept] = replicas()
            kill([dead])
            clients.wait(8)
            wait_for(lambda: kept in replicas() and len(replicas()) == 2, 120)
            assert project.luthier("release", "--rollback") == first
            wait_for(lambda: all(who == f"fp_{first}" for _, who, _ in clients.answers[-8:]), 120)
        assert clients.faults == []
        assert {who for _, who, _ in clients.answers} == {f"fp_{first}", f"fp_{second}"}
        with httpx.Client(base_url=server.url) as web:
            refused = web.post("/v1/chat/completions", json={"model": "gpt", "messages": []})
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "messages")
        server.process.terminate()
        assert server.process.wait(60) == 0
        wait_for(lambda: not replicas(), 30)


def _requests(url: str) -> str:
    """Give one server's count of answered requests: which of them answers is the cluster's choice."""
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    return next((line for line in lines if line.startswith("luthier_requests_total")), "")
