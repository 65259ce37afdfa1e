"""Workers by the real command, asked by stock clients without retries: dead, stuck, replaced, upgraded, drained."""

import signal
import time
from itertools import pairwise

import pytest
from real_serving import Clients, Project, ask, command_of, kill, wait_for

WORKER = "luthier.recipe.worker"
pytestmark = pytest.mark.journey


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("workers"))


@pytest.fixture(scope="module")
def releases(project: Project) -> list[str]:
    return project.releases("2e-2", "1e-2")


def test_no_request_fails_while_workers_die_hang_and_releases_change(project: Project, releases: list[str]) -> None:
    first, second = releases
    with project.serving("--workers", "2", "--dtype", "float32", "shutdown_seconds=30") as server:
        with server.client() as client:
            said = {second: ask(client, second)}
        with Clients(server, second) as clients:
            clients.wait()
            [dead, stuck] = server.processes(WORKER)
            kill([dead])
            clients.wait(8)
            wait_for(lambda: "it is back" in server.said(), 60)
            kill([stuck], signal.SIGSTOP)
            begun = time.monotonic()
            clients.wait(8)
            assert max(later - sooner for sooner, later in gaps(clients, begun)) < 4
            wait_for(lambda: stuck not in server.processes(WORKER), 30)
            wait_for(lambda: len(server.processes(WORKER)) == 2)
            old = server.processes(WORKER)
            assert project.luthier("release", "--rollback") == first
            wait_for(lambda: f"serving {first} in the place of {second}" in server.said(), 60)
            clients.wait(8)
            wait_for(lambda: not set(old) & set(server.processes(WORKER)), 30)
            project.luthier("release", "--promote", second)
            wait_for(lambda: f"serving {second} in the place of {first}" in server.said(), 60)
            clients.wait(8)
        assert clients.faults == []
        assert clients.unreached == []
        answered = {who for _, who, _ in clients.answers}
        assert answered == {f"fp_{first}", f"fp_{second}"}
        assert {text for _, who, text in clients.answers if who == f"fp_{second}"} == {said[second][1]}


def gaps(clients: Clients, begun: float) -> list[tuple[float, float]]:
    """Give the pauses between answers since then."""
    times = [begun, *(at for at, _, _ in clients.answers if at > begun)]
    return list(pairwise(times))


def test_a_signal_lets_every_running_answer_end(project: Project, releases: list[str]) -> None:
    with project.serving("--workers", "2", "--dtype", "float32", "shutdown_seconds=30") as server:
        with Clients(server, releases[-1], count=8) as clients:
            clients.wait(8)
            children = server.processes(WORKER)
            stopped = time.monotonic()
            server.process.terminate()
            assert server.process.wait(30) == 0
        assert clients.faults == []
        assert any(at > stopped for at, _, _ in clients.answers)
        assert not any(map(command_of, children))


@pytest.mark.parametrize(
    "words", [("--workers", "2"), ("--engine", "openvino"), ("--workers", "1", "--engine", "openvino")], ids=" ".join
)
def test_a_server_that_is_killed_leaves_no_process(project: Project, releases: list[str], words: list[str]) -> None:
    with project.serving(*words, "--dtype", "float32") as server:
        children = server.processes("luthier.")
        assert children
        server.process.kill()
        wait_for(lambda: not any(map(command_of, children)), 15)
