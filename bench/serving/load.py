"""A lean load client (sockets, no HTTP library) and the server it asks, as a process of its own."""

import asyncio
import json
import re
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KEY = "bench"
CHILD = Path(__file__).parent / "gateway_server.py"
FIRST = re.compile(rb'"(?:content|text)": ?"[^"]')
"""The first word of a stream, whoever writes it."""
SAID = re.compile(rb'"completion_tokens": ?(\d+)')


@dataclass(frozen=True)
class Place:
    """Where a server is, and what it is asked for."""

    port: int
    model: str
    key: str = KEY


class Gateway:
    """Our server with its engine in one process, as long as this context lasts."""

    def __init__(self, engine: Mapping[str, Any], **settings: Any) -> None:
        """`engine` says which: see `gateway_server.py`."""
        asked = {"settings": {"admin_keys": [KEY], **settings}, **engine}
        command = [sys.executable, str(CHILD), json.dumps(asked)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.place = Place(*json.loads(self._process.stdout.readline()))
        while not is_open(self.place.port):
            time.sleep(0.05)

    def __enter__(self) -> "Gateway":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(60)

    @property
    def number(self) -> int:
        """Its process."""
        return self._process.pid

    @property
    def resident_bytes(self) -> int:
        """Its memory, without that of the engines in processes of their own."""
        text = Path(f"/proc/{self.number}/status").read_text(encoding="utf-8")
        return int(text.partition("VmRSS:")[2].split()[0]) * 1024


def is_open(port: int) -> bool:
    """Whether something listens there."""
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

    @property
    def is_whole(self) -> bool:
        """Whether it is an answer with its end."""
        return self.status == 200 and b'"error"' not in self.text[-400:] and b"finish_reason" in self.text


async def ask(place: Place, tokens: int, *, is_stream: bool, leaves_after: float | None = None, **more: Any) -> Heard:
    """Ask over a socket of its own."""
    begun = time.perf_counter()
    counts = {"stream_options": {"include_usage": True}} if is_stream else {}
    body = {
        "model": more.pop("model", place.model),
        "messages": [{"role": "user", "content": more.pop("question", "Tell me a long story.")}],
        "max_tokens": tokens,
        "temperature": 0,
        "stream": is_stream,
        **counts,
        **more,
    }
    reader, writer = await _post(place, "/v1/chat/completions", body)
    try:
        if leaves_after is not None:
            await asyncio.sleep(leaves_after)
            return Heard(0, 0, 0.0, 0.0, 0.0, b"")
        return await _hear(reader, begun)
    finally:
        writer.close()


async def _post(place: Place, path: str, data: Mapping[str, Any]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = json.dumps(data).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1 << 22)
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {place.key}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    return reader, writer


async def _hear(reader: asyncio.StreamReader, begun: float) -> Heard:
    head = await reader.readuntil(b"\r\n\r\n")
    status = int(head[9:12])
    lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
    retry = next((float(value) / 1000 for name, _, value in lines if name == b"retry-after-ms"), 0.0)
    retry = retry or next((float(value) for name, _, value in lines if name == b"retry-after"), 0.0)
    first, parts = 0.0, []
    while data := await reader.read(1 << 16):
        if not first and FIRST.search(data):
            first = time.perf_counter() - begun
        parts.append(data)
    text = b"".join(parts)
    counted = SAID.search(text[-2000:])
    tokens = int(counted[1]) if counted else len(FIRST.findall(text))
    return Heard(status, tokens, first, time.perf_counter() - begun, retry, text)


async def change(place: Place, path: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Post to /admin; gives what it says."""
    reader, writer = await _post(place, path, data)
    text = await reader.read()
    writer.close()
    found: dict[str, Any] = json.loads(text.partition(b"\r\n\r\n")[2])
    return found


async def ask_until(place: Place, end: float, heard: list[Heard], tokens: int) -> None:
    """Ask again and again; who is sent away comes again when it was told to."""
    while time.perf_counter() < end:
        one = await ask(place, tokens, is_stream=True)
        heard.append(one)
        if one.status != 200:
            await asyncio.sleep(min(one.retry_seconds or 0.5, 60.0))


def cpu_seconds() -> float:
    """Give what this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
