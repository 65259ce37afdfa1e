"""What the gateway costs, and how it keeps its promises: before an engine of fixed speed, or a real model.

    python bench/serve_gateway.py [--part overhead aborts swaps soak] [--rounds 3] [--seconds 600]
                                  [--model ID --project DIR --engine openvino --dtype float32]

The server runs in a process of its own, with the engine in it or below it; a lean client (sockets, no HTTP library) in
this one, whose share of a core is told. Without --model the engine makes one token for each running stream every 10 ms,
and burns that time on a core as a real one would (`--idle`: it sleeps instead).

overhead: tokens a second through the API as a share of the engine's own, and what is added to the first token; engine
          and server stand beside each other and are asked in turn.
aborts:   200 requests of 10,000 tokens, left after a moment; then an answer.
swaps:    models put under one name while asked; each answers with its own word (the engine of fixed speed only).
soak:     resident memory under load, by the minute.

The last line is JSON with every figure. The overload is `serve_overload.py`, the peers are in `serve_peers.py`.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from serving.load import CHILD, Gateway, Heard, Place, ask, ask_until, change, cpu_seconds

STREAMS = (1, 8, 16)
ASKED_ALONE = 10
"""How often a single stream is asked in a round: its first tokens are what the middle is taken of."""


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Ask for the engine that `engine_of` gives."""
    parser.add_argument("--model")
    parser.add_argument("--project", default=".luthier")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--idle", action="store_true", help="the fixed engine sleeps in its steps")


def engine_of(options: argparse.Namespace) -> dict[str, Any]:
    """Give the engine as `gateway_server.py` reads it."""
    names = ("model", "project", "idle", "engine", "dtype")
    return {name: getattr(options, name) for name in names}


class Raw:
    """The engine itself in a process of its own."""

    def __init__(self, engine: dict[str, Any]) -> None:
        command = [sys.executable, str(CHILD), json.dumps({"raw": True, **engine})]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, streams: int, tokens: int) -> tuple[float, list[float]]:
        """Ask so many streams at once: tokens a second, the times to the first."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps([streams, tokens]) + "\n")
        self._process.stdin.flush()
        speed, firsts = json.loads(self._process.stdout.readline())
        return speed, firsts

    def close(self) -> None:
        """End it."""
        self._process.communicate()


async def through(place: Place, streams: int, tokens: int, is_stream: bool) -> tuple[float, list[float], float]:
    """Ask through the API: tokens a second, the times to the first, this client's share of a core."""
    used, begun = cpu_seconds(), time.perf_counter()
    heard = await asyncio.gather(*(ask(place, tokens, is_stream=is_stream) for _ in range(streams)))
    seconds = time.perf_counter() - begun
    assert all(one.is_whole for one in heard), [one.text[:200] for one in heard if not one.is_whole]
    speed = sum(one.tokens for one in heard) / seconds
    return speed, [one.first_seconds for one in heard], (cpu_seconds() - used) / seconds


def overhead(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Interleave the engine itself and the API; give medians of the rounds."""
    print("streams  stream?  engine tok/s  API tok/s  share   first token: engine, API, added (ms)  client's core")
    raw = Raw(engine_of(options))
    rows = []
    try:
        with Gateway(engine_of(options)) as server:
            for warm in (lambda: raw.ask(2, 4), lambda: asyncio.run(through(server.place, 2, 4, True))):
                warm()
            for streams in STREAMS:
                for is_stream in (False, True):
                    rows.append(_overhead(raw, server.place, streams, is_stream, options))
                    _show(rows[-1])
    finally:
        raw.close()
    return rows


def _overhead(raw: Raw, place: Place, streams: int, is_stream: bool, options: argparse.Namespace) -> dict[str, Any]:
    own_speeds, own_firsts, speeds, firsts, cores = [], list[float](), [], list[float](), []
    for _ in range(options.rounds * (ASKED_ALONE if streams == 1 else 1)):
        speed, first = raw.ask(streams, options.tokens)
        own_speeds.append(speed)
        own_firsts += first
        speed, first, core = asyncio.run(through(place, streams, options.tokens, is_stream))
        speeds.append(speed)
        firsts += first
        cores.append(core)
    own, said = statistics.median(own_speeds), statistics.median(speeds)
    row = {
        "streams": streams,
        "stream": is_stream,
        "raw_tokens_per_second": round(own, 1),
        "api_tokens_per_second": round(said, 1),
        "share": round(said / own, 4),
        "client_core": round(statistics.median(cores), 3),
    }
    if is_stream:
        before, after = statistics.median(own_firsts) * 1e3, statistics.median(firsts) * 1e3
        row |= {"first_raw_ms": round(before, 1), "first_api_ms": round(after, 1), "added_ms": round(after - before, 1)}
    return row


def _show(row: dict[str, Any]) -> None:
    names = ("first_raw_ms", "first_api_ms", "added_ms")
    firsts = " ".join(f"{row[name]:8.1f}" for name in names) if row["stream"] else ""
    print(
        f"{row['streams']:7} {row['stream']!s:>8} {row['raw_tokens_per_second']:12.0f} "
        f"{row['api_tokens_per_second']:10.0f} {row['share']:7.1%} {firsts:>29} {row['client_core']:18.2f}",
        flush=True,
    )


def aborts(options: argparse.Namespace) -> dict[str, Any]:
    """Leave 200 requests of 10,000 tokens, then ask for an answer."""

    async def run(place: Place) -> Heard:
        for _ in range(4):
            await asyncio.gather(*(ask(place, 10_000, is_stream=True, leaves_after=0.3) for _ in range(50)))
        return await ask(place, 4, is_stream=False)

    with Gateway(engine_of(options), waiting=1000) as server:
        last = asyncio.run(run(server.place))
    print(f"after 200 aborted requests an answer came in {last.seconds:.2f} s with status {last.status}")
    return {"status": last.status, "seconds": round(last.seconds, 3)}


def swaps(options: argparse.Namespace) -> dict[str, Any]:
    """Put 50 models under one name, one after another, while eight clients ask."""
    wrong: list[bytes] = []
    answers = 0

    async def run(place: Place) -> None:
        nonlocal answers
        await change(place, "/admin/models", {"name": "swapped", "id": "w0"})
        is_over = False

        async def client() -> None:
            nonlocal answers
            while not is_over:
                one = await ask(place, 20, is_stream=False, model="swapped")
                said = json.loads(one.text)["choices"][0]["message"]["content"].split() if one.status == 200 else ()
                answers += 1
                if len(set(said)) != 1:
                    wrong.append(one.text[:200])

        clients = [asyncio.ensure_future(client()) for _ in range(8)]
        for number in range(1, 51):
            put = await change(place, "/admin/models", {"name": "swapped", "id": f"w{number}"})
            assert put["changed"], put
            after = await ask(place, 2, is_stream=False, model="swapped")
            if f'" w{number} w{number}"'.encode() not in after.text:
                wrong.append(after.text[:200])
        is_over = True
        await asyncio.gather(*clients)

    with Gateway({"model": None, "idle": options.idle}) as server:
        asyncio.run(run(server.place))
    print(f"50 swaps under 8 clients: {answers} answers, {len(wrong)} wrong {wrong[:2] if wrong else ''}")
    return {"answers": answers, "wrong": len(wrong)}


def soak(options: argparse.Namespace) -> dict[str, Any]:
    """Ask without an end and watch the memory."""
    answers: list[int] = []

    async def run(server: Gateway) -> list[tuple[float, int]]:
        points: list[tuple[float, int]] = []
        begun = time.perf_counter()
        heard: list[Heard] = []
        end = begun + options.seconds
        clients = [asyncio.ensure_future(ask_until(server.place, end, heard, 64)) for _ in range(24)]
        while not all(client.done() for client in clients):
            await asyncio.sleep(1)
            points.append((time.perf_counter() - begun, server.resident_bytes))
            answers.append(sum(one.status == 200 for one in heard))
            heard.clear()
        return points

    with Gateway(engine_of(options)) as server:
        points = asyncio.run(run(server))
    kept = [(at, size / 2**20) for at, size in points if at > options.seconds * 0.2]  # warmed up
    middle_x = statistics.mean(at for at, _ in kept)
    middle_y = statistics.mean(size for _, size in kept)
    slope = sum((at - middle_x) * (size - middle_y) for at, size in kept) / sum((at - middle_x) ** 2 for at, _ in kept)
    print(f"soak of {options.seconds:.0f} s: {kept[0][1]:.1f} -> {kept[-1][1]:.1f} MiB, {slope * 60:+.2f} MiB a minute")
    sizes = {"begin_mib": round(kept[0][1], 1), "end_mib": round(kept[-1][1], 1)}
    return sizes | {"mib_per_minute": round(slope * 60, 3), "answers": sum(answers), "seconds": options.seconds}


PARTS: dict[str, Callable[[argparse.Namespace], Any]] = {
    "overhead": overhead,
    "aborts": aborts,
    "swaps": swaps,
    "soak": soak,
}


def main() -> int:
    """Run the parts asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seconds", type=float, default=10.0, help="of the soak")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=100, help="of an answer of the overhead")
    add_engine_options(parser)
    options = parser.parse_args()
    load = round(os.getloadavg()[0], 1)
    print(f"load {load} on {os.cpu_count()} cores; {options.model or 'an engine of fixed speed'}")
    found: dict[str, Any] = {"load": load, "model": options.model}
    for part in options.part:
        print(f"\n{part}")
        found[part] = PARTS[part](options)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
