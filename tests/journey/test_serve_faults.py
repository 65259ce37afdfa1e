"""Faults on the CPU engine's real process, by the real command: killed and left; nothing hangs."""

import asyncio
import threading
import time

import httpx
import pytest
from openai import APIError
from real_serving import QUESTION, Project, Server, ask, kill

pytestmark = pytest.mark.journey
CHILD = "luthier.engine.openvino_child"
EXACT = ("--engine", "openvino", "--dtype", "float32")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("faults"))


@pytest.fixture(scope="module")
def model(project: Project) -> str:
    return project.luthier("fetch", "tiny:llama").split()[-1]


def heard(server: Server, model: str, endings: list[str]) -> None:
    """Ask for a stream and note how it ends."""
    try:
        with server.client() as client:
            endings.append("whole" if ask(client, model, is_stream=True, tokens=400)[1] is not None else "empty")
    except APIError as error:
        endings.append(f"error: {error.message}"[:60])
    except Exception as error:
        endings.append(f"odd: {error!r}")


def test_fifty_streams_end_and_the_server_answers_again_when_its_engine_is_killed(project: Project, model: str) -> None:
    endings: list[str] = []
    with project.serving(*EXACT, "--model", model, "max_tokens=400") as server:
        with server.client() as client:
            ask(client, model)
        threads = [threading.Thread(target=heard, args=(server, model, endings)) for _ in range(50)]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        [engine] = server.processes(CHILD)
        kill([engine])
        begun = time.monotonic()
        with server.client(retries=10) as client:
            ask(client, model, tokens=1)
            again = time.monotonic() - begun
            for thread in threads:
                thread.join(60)
        assert not any(thread.is_alive() for thread in threads)
        assert [engine] != server.processes(CHILD)
    print(f"an answer again after {again:.1f} s; {sorted(set(endings))}")
    assert len(endings) == 50
    assert all(ending == "whole" or ending.startswith("error: the engine of") for ending in endings), set(endings)
    assert any(ending.startswith("error") for ending in endings)
    assert again < 5 + 10  # the model's load is in it


def test_two_hundred_requests_that_are_left_hold_nothing_up(project: Project, model: str) -> None:
    wish = {"model": model, "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 10_000, "stream": True}

    async def leave(web: httpx.AsyncClient) -> None:
        try:
            async with asyncio.timeout(0.3), web.stream("POST", "/v1/chat/completions", json=wish) as reply:
                async for _ in reply.aiter_bytes():
                    pass
        except TimeoutError:
            pass

    async def run(url: str) -> None:
        async with httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=None), timeout=30) as web:
            for _ in range(4):
                await asyncio.gather(*(leave(web) for _ in range(50)))

    with project.serving(*EXACT, "--model", model, "waiting=1000") as server:
        asyncio.run(run(server.url))
        begun = time.monotonic()
        with server.client() as client:
            ask(client, model, tokens=4)
        again = time.monotonic() - begun
        text = httpx.get(f"{server.url}/metrics").text
    print(f"an answer {again:.2f} s after 200 were left")
    assert again < 5
    assert f'luthier_running{{model="{model}"}} 0.0' in text
