"""What the gateway costs, and how it keeps its promises: against an engine of fixed speed, or a real model.

    python bench/serve_gateway.py [--part overhead overload aborts swaps soak] [--seconds 10] [--model ID --project DIR]

The server runs in a process of its own, with the engine in it; a lean client (sockets, no HTTP library) in this one,
whose share of a core is told. Without --model the engine makes one token for each running stream every 10 ms, and burns
that time on a core as a real one would (`--idle`: it sleeps instead).

overhead: tokens a second through the API as a share of the engine's own, and what is added to the first token.
overload: ten times as many clients as the engine takes, the stock OpenAI client's rules (Retry-After heeded).
aborts:   200 requests of 10,000 tokens, left after a moment; then an answer.
swaps:    models put under one name while asked; each answers with its own word.
soak:     resident memory under load, by the minute.
"""

import argparse
import asyncio
import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

AT_ONCE = 16
"""As many streams as the engine of fixed speed takes."""
ADMIN = "bench"
CHILD = Path(__file__).parent / "serving" / "gateway_server.py"


def _engine(options: argparse.Namespace) -> dict[str, Any]:
    return {"model": options.model, "project": options.project, "idle": options.idle}


class Server:
    """The server, as long as this context lasts."""

    def __init__(self, options: argparse.Namespace, **settings: Any) -> None:
        asked = {"settings": {"admin_keys": [ADMIN], **settings}, **_engine(options)}
        command = [sys.executable, str(CHILD), json.dumps(asked)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port, self.model = json.loads(self._process.stdout.readline())
        while not _is_open(self.port):
            time.sleep(0.05)

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    @property
    def resident_bytes(self) -> int:
        """Its memory."""
        text = Path(f"/proc/{self._process.pid}/status").read_text(encoding="utf-8")
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def _is_open(port: int) -> bool:
    with socket.socket() as door:
        return door.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class Heard:
    """What one request was answered with."""

    status: int
    tokens: int
    first_seconds: float
    seconds: float
    retry_seconds: float
    text: bytes


async def ask(server: Server, tokens: int, *, is_stream: bool, leaves_after: float | None = None, **more: Any) -> Heard:
    """Ask over a socket of its own, counting chunks as they come."""
    begun = time.perf_counter()
    body = json.dumps(
        {
            "model": more.pop("model", server.model),
            "messages": [{"role": "user", "content": "Tell me a long story."}],
            "max_tokens": tokens,
            "temperature": 0,
            "stream": is_stream,
            **more,
        }
    ).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1 << 22)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    try:
        if leaves_after is not None:
            await asyncio.sleep(leaves_after)
            return Heard(0, 0, 0.0, 0.0, 0.0, b"")
        return await _hear(reader, begun, is_stream)
    finally:
        writer.close()


async def _hear(reader: asyncio.StreamReader, begun: float, is_stream: bool) -> Heard:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    retry = next((float(value) / 1000 for name, _, value in lines if name == b"retry-after-ms"), 0.0)
    retry = retry or next((float(value) for name, _, value in lines if name == b"retry-after"), 0.0)
    first, count, parts = 0.0, 0, []
    while data := await reader.read(1 << 16):
        found = data.count(b'"content":" ') if is_stream else 0
        if found and not first:
            first = time.perf_counter() - begun
        count += found
        parts.append(data)
    text = b"".join(parts)
    if status == 200 and not is_stream:
        count = json.loads(text)["usage"]["completion_tokens"]
    return Heard(status, count, first, time.perf_counter() - begun, retry, text)


def raw_apart(options: argparse.Namespace, streams: int, tokens: int) -> tuple[float, float]:
    """Measure the engine itself in a process of its own: tokens a second, and the median first token."""
    command = [sys.executable, str(CHILD), json.dumps({"raw": [streams, tokens], **_engine(options)})]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    speed, first = json.loads(done.stdout.splitlines()[-1])
    return speed, first


async def through(server: Server, streams: int, tokens: int, is_stream: bool) -> tuple[float, float, float]:
    """Ask through the API: tokens a second, the median first token, this client's share of a core."""
    await ask(server, 4, is_stream=is_stream)
    used, begun = _cpu_seconds(), time.perf_counter()
    heard = await asyncio.gather(*(ask(server, tokens, is_stream=is_stream) for _ in range(streams)))
    seconds = time.perf_counter() - begun
    assert all(one.status == 200 for one in heard), [one.text[:200] for one in heard if one.status != 200]
    firsts = [one.first_seconds for one in heard]
    return sum(one.tokens for one in heard) / seconds, statistics.median(firsts), (_cpu_seconds() - used) / seconds


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def overhead(options: argparse.Namespace) -> None:
    """Interleave the engine itself and the API, and give medians of the rounds."""
    print("streams  stream?  engine tok/s  API tok/s  share   first token: engine, API, added (ms)  client's core")
    for streams in (1, 8, 16):
        for is_stream in (False, True):
            tokens = 200 if options.model is None else 100
            rows = []
            for _ in range(options.rounds):
                own = raw_apart(options, streams, tokens)
                with Server(options) as server:
                    rows.append((*own, *asyncio.run(through(server, streams, tokens, is_stream))))
            own_speed, own_first, speed, first, client = (
                statistics.median(column) for column in zip(*rows, strict=True)
            )
            firsts = f"{own_first * 1e3:7.1f} {first * 1e3:7.1f} {(first - own_first) * 1e3:7.1f}" if is_stream else ""
            share = f"{speed / own_speed:6.1%}"
            print(
                f"{streams:7} {is_stream!s:>8} {own_speed:12.0f} {speed:10.0f} {share}   {firsts:>24}  {client:18.2f}"
            )


async def _client(server: Server, end: float, heard: list[Heard], tokens: int) -> None:
    while time.perf_counter() < end:
        one = await ask(server, tokens, is_stream=True)
        heard.append(one)
        if one.status != 200:
            await asyncio.sleep(min(one.retry_seconds or 0.5, 60.0))


def overload(options: argparse.Namespace) -> None:
    """Ask with ten times as many clients as the engine takes at once."""
    promise = 5.0
    tokens = 64
    with Server(options, first_token_seconds=promise, waiting=1000) as server:
        calm: list[Heard] = []
        flood: list[Heard] = []

        async def run(clients: int, heard: list[Heard]) -> float:
            begun = time.perf_counter()
            end = begun + options.seconds
            await asyncio.gather(*(_client(server, end, heard, tokens) for _ in range(clients)))
            return time.perf_counter() - begun

        calm_seconds = asyncio.run(run(AT_ONCE, calm))
        before = server.resident_bytes
        seconds = asyncio.run(run(AT_ONCE * 10, flood))
        after = server.resident_bytes
    good = [one for one in flood if one.status == 200]
    firsts = sorted(one.first_seconds for one in good)
    speed = sum(one.tokens for one in good) / seconds
    unloaded = sum(one.tokens for one in calm) / calm_seconds
    refused = [one for one in flood if one.status != 200]
    print(f"statuses {dict(Counter(one.status for one in flood))} of {len(flood)} requests in {seconds:.1f} s")
    print(f"first token p50 {firsts[len(firsts) // 2]:.2f} s, p99 {firsts[int(len(firsts) * 0.99)]:.2f} s, ", end="")
    print(f"promise {promise} s; refused without Retry-After: {sum(not one.retry_seconds for one in refused)}")
    print(f"goodput {speed:.0f} tokens/s, {speed / unloaded:.1%} of the unloaded {unloaded:.0f}; ", end="")
    print(f"memory {before / 2**20:.0f} -> {after / 2**20:.0f} MiB")


def aborts(options: argparse.Namespace) -> None:
    """Leave 200 requests of 10,000 tokens, then ask for an answer."""

    async def run(server: Server) -> Heard:
        for _ in range(4):
            await asyncio.gather(*(ask(server, 10_000, is_stream=True, leaves_after=0.3) for _ in range(50)))
        return await ask(server, 4, is_stream=False)

    with Server(options, waiting=1000) as server:
        last = asyncio.run(run(server))
    print(f"after 200 aborted requests an answer came in {last.seconds:.2f} s with status {last.status}")


async def _post(server: Server, path: str, data: dict[str, Any]) -> dict[str, Any]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    body = json.dumps(data).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nConnection: close\r\n"
    writer.write(head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
    text = await reader.read()
    writer.close()
    found: dict[str, Any] = json.loads(text.partition(b"\r\n\r\n")[2])
    return found


def swaps(options: argparse.Namespace) -> None:
    """Put 50 models under one name, one after another, while eight clients ask."""
    wrong: list[bytes] = []
    answers = 0

    async def run(server: Server) -> None:
        nonlocal answers
        await _post(server, "/admin/models", {"name": "swapped", "id": "w0"})
        is_over = False

        async def client() -> None:
            nonlocal answers
            while not is_over:
                one = await ask(server, 20, is_stream=False, model="swapped")
                words = (
                    set(json.loads(one.text)["choices"][0]["message"]["content"].split()) if one.status == 200 else ()
                )
                answers += 1
                if len(words) != 1:
                    wrong.append(one.text[:200])

        clients = [asyncio.ensure_future(client()) for _ in range(8)]
        for number in range(1, 51):
            put = await _post(server, "/admin/models", {"name": "swapped", "id": f"w{number}"})
            assert put["changed"], put
            after = await ask(server, 2, is_stream=False, model="swapped")
            if f'" w{number} w{number}"'.encode() not in after.text:
                wrong.append(after.text[:200])
        is_over = True
        await asyncio.gather(*clients)

    with Server(options) as server:
        asyncio.run(run(server))
    print(f"50 swaps under 8 clients: {answers} answers, {len(wrong)} wrong {wrong[:2] if wrong else ''}")


def soak(options: argparse.Namespace) -> None:
    """Ask without an end and watch the memory."""

    async def run(server: Server) -> list[tuple[float, int]]:
        points: list[tuple[float, int]] = []
        begun = time.perf_counter()
        heard: list[Heard] = []
        clients = [asyncio.ensure_future(_client(server, begun + options.seconds, heard, 64)) for _ in range(24)]
        while not all(client.done() for client in clients):
            await asyncio.sleep(1)
            points.append((time.perf_counter() - begun, server.resident_bytes))
            heard.clear()
        return points

    with Server(options) as server:
        points = asyncio.run(run(server))
    kept = [(at, size / 2**20) for at, size in points if at > options.seconds * 0.2]  # warmed up
    middle_x = statistics.mean(at for at, _ in kept)
    middle_y = statistics.mean(size for _, size in kept)
    slope = sum((at - middle_x) * (size - middle_y) for at, size in kept) / sum((at - middle_x) ** 2 for at, _ in kept)
    print(f"soak of {options.seconds:.0f} s: {kept[0][1]:.1f} -> {kept[-1][1]:.1f} MiB, {slope * 60:+.2f} MiB a minute")


PARTS = {"overhead": overhead, "overload": overload, "aborts": aborts, "swaps": swaps, "soak": soak}


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of overload and soak")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--model")
    parser.add_argument("--project", default=".luthier")
    parser.add_argument("--idle", action="store_true", help="the fixed engine sleeps in its steps")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; {options.model or 'an engine of fixed speed'}")
    for part in options.part:
        print(f"\n{part}")
        PARTS[part](options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
