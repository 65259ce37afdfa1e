"""Two servers that count a key's requests in one Redis; and what they do when it is gone."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import httpx
import pytest
from real_serving import Project, Server, wait_for

pytestmark = pytest.mark.journey


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Give a Redis of our own, and its port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("no redis-server: apt-get install redis-server")
    if find_spec("redis") is None:
        pytest.skip("no client: pip install 'limits[redis]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [program, "--port", str(port), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    with socket.socket() as door:
        wait_for(lambda: door.connect_ex(("127.0.0.1", port)) == 0)
    yield process, port
    process.kill()
    process.wait()


def test_two_servers_share_a_keys_minute_and_go_on_alone_when_the_count_is_lost(
    tmp_path_factory: pytest.TempPathFactory, redis: tuple["subprocess.Popen[bytes]", int]
) -> None:
    project = Project(tmp_path_factory.mktemp("rates"))
    model = project.luthier("fetch", "tiny:llama").split()[-1]
    process, port = redis
    rates = [f"rates.storage=redis://127.0.0.1:{port}", "rates.requests_per_minute=4"]

    def status(server: Server) -> tuple[int, str]:
        body = {"model": model, "messages": [{"role": "user", "content": "a"}], "max_tokens": 1}
        reply = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=30)
        return reply.status_code, reply.headers.get("x-ratelimit-remaining-requests", "")

    with ExitStack() as stack:
        one, two = (stack.enter_context(project.serving("--model", model, *rates)) for _ in range(2))
        assert [status(server) for server in (one, two, one, two)] == [(200, "3"), (200, "2"), (200, "1"), (200, "0")]
        assert [status(server)[0] for server in (one, two)] == [429, 429]
        process.kill()
        process.wait()
        assert status(one) == (200, "3")  # by its own count
        assert "cannot be reached, and this server counts for itself" in one.said()
