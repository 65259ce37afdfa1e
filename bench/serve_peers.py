"""Our server beside others of the same model on the same cores, in complete answers: interleaved rounds.

    python bench/serve_peers.py --model ID --gguf FILE-q8_0.gguf [--project DIR] [--peers xllamacpp ...] [--rounds 2]

Each round starts every server in turn, warms it up, asks it with so many streaming clients at once, and ends it: none
takes the others' memory or cores. An answer counts once it is whole: status 200, its reason told, tokens in it.
Each peer lives in an environment of its own below --project/tools, installed at its first use; one that
cannot be installed or started is a line with the reason.

The last line is JSON with every figure.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving.load import Place, ask, is_open

ENGINES = Path(__file__).parent.parent / "src" / "luthier" / "engine"
STREAMS = (8, 16)
STARTS_WITHIN_SECONDS = 180.0


@dataclass(frozen=True)
class Peer:
    """One server."""

    pins: tuple[str, ...]
    commands: Callable[[Path, argparse.Namespace, int], list[list[str]]]
    """What is started, in order; the last one listens. Takes its `bin`, the options, a free port."""
    model: str = "peer"


def _luthier(bin_folder: Path, options: argparse.Namespace, port: int) -> list[list[str]]:
    luthier = [sys.executable, "-m", "luthier", "--project", options.project]
    settings = [f"port={port}", "api_keys=[bench]", "waiting=1000"]
    serve = ["serve", "--model", options.model, "--engine", options.engine, "--dtype", options.dtype]
    return [[*luthier, *serve, *settings]]


def _llama_cpp_python(bin_folder: Path, options: argparse.Namespace, port: int) -> list[list[str]]:
    command = [str(bin_folder / "python"), "-m", "llama_cpp.server", "--model", options.gguf, "--model_alias", "peer"]
    return [[*command, "--n_ctx", "16384", "--n_threads", "2", "--port", str(port), "--api_key", "bench"]]


def _xllamacpp(bin_folder: Path, options: argparse.Namespace, port: int) -> list[list[str]]:
    script = str(ENGINES / "xllamacpp_child.py")
    return [[str(bin_folder / "python"), script, options.gguf, "peer", str(port), "bench"]]


def _fastchat(bin_folder: Path, options: argparse.Namespace, port: int) -> list[list[str]]:
    python = [str(bin_folder / "python"), "-m"]
    worker = ["fastchat.serve.model_worker", "--model-path", options.folder, "--model-names", "peer", "--device", "cpu"]
    return [
        [*python, "fastchat.serve.controller"],
        [*python, *worker],
        [*python, "fastchat.serve.openai_api_server", "--port", str(port)],
    ]


PEERS: Mapping[str, Peer] = {
    "luthier": Peer((), _luthier, model=""),
    "xllamacpp": Peer(("xllamacpp==2026.10.11549",), _xllamacpp),
    "llama-cpp-python": Peer(("llama-cpp-python[server]==0.3.36",), _llama_cpp_python),
    "fastchat": Peer(("torch==2.13.0", "fschat[model_worker]==0.2.36"), _fastchat),
}


def environment(name: str, project: Path) -> Path:
    """Give the `bin` of a peer's environment, made at first use."""
    peer = PEERS[name]
    place = project / "tools" / (name if name == "xllamacpp" else f"bench-{name}")
    mark = place / "pins.txt"
    if peer.pins and not mark.exists():
        shutil.rmtree(place, ignore_errors=True)
        venv.create(place, with_pip=True)
        install = [str(place / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", *peer.pins]
        done = subprocess.run(install, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"not installed: {(done.stderr.strip().splitlines() or ['?'])[-1][:200]}")
        mark.write_text("\n".join(peer.pins), encoding="utf-8")
    return place / "bin"


@contextmanager
def running(name: str, options: argparse.Namespace) -> Iterator[Place]:
    """Start a server, wait until it answers, end it."""
    peer = PEERS[name]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    place = Place(port, peer.model or options.model)
    log = Path(options.project) / f"bench-{name}.log"
    started: list[subprocess.Popen[bytes]] = []
    try:
        with log.open("wb") as out:
            for command in peer.commands(environment(name, Path(options.project)), options, port):
                process = subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True)
                started.append(process)
        _wait(place, started, log)
        yield place
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
        for process in started:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait(place: Place, started: list["subprocess.Popen[bytes]"], log: Path) -> None:
    """Wait for a first whole answer, which warms it up as well."""
    end = time.monotonic() + STARTS_WITHIN_SECONDS
    said = "nothing"
    while time.monotonic() < end:
        ended = [process for process in started if process.poll() is not None]
        if ended:
            lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"ended with status {ended[0].returncode}: {lines[-1][:200]}")
        if is_open(place.port):
            one = asyncio.run(ask(place, 8, is_stream=True))
            if one.is_whole:
                return
            said = f"status {one.status}: {one.text[:120]!r}"
        time.sleep(0.5)
    raise RuntimeError(f"no answer within {STARTS_WITHIN_SECONDS:g} s; it said {said}")


async def _round(place: Place, streams: int, tokens: int) -> dict[str, float]:
    async def bounded(number: int) -> Any:
        question = f"Write a long text about the number {number}."
        try:
            return await asyncio.wait_for(ask(place, tokens, is_stream=True, question=question), 300)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            return error

    begun = time.perf_counter()
    heard = await asyncio.gather(*(bounded(number) for number in range(streams)))
    seconds = time.perf_counter() - begun
    whole = [one for one in heard if not isinstance(one, Exception) and one.is_whole and one.tokens]
    return {
        "whole": len(whole),
        "tokens_per_second": round(sum(one.tokens for one in whole) / seconds, 1),
        "answers_per_minute": round(60 * len(whole) / seconds, 2),
        "first_seconds": round(statistics.median([one.first_seconds for one in whole]), 3) if whole else 0.0,
    }


def main() -> int:
    """Run the rounds, print each, then the middle of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="the id of our artifact")
    parser.add_argument("--gguf", help="the same model as Q8_0, for llama.cpp")
    parser.add_argument("--folder", help="the same model as safetensors, for FastChat")
    parser.add_argument("--project", default=".luthier")
    parser.add_argument("--engine", default="openvino")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=["luthier", "xllamacpp"])
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=64)
    options = parser.parse_args()
    if not options.model:
        print("not run: it needs a real model (--model ID --gguf FILE); see the head of this file")
        return 0
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "model": options.model, "rounds": []}
    lost: dict[str, str] = {}
    for number in range(options.rounds):
        for name in options.peers:
            if name in lost:
                continue
            try:
                with running(name, options) as place:
                    for streams in STREAMS:
                        row = {"peer": name, "streams": streams, **asyncio.run(_round(place, streams, options.tokens))}
                        found["rounds"].append(row)
                        print(number, row, flush=True)
            except RuntimeError as error:
                lost[name] = str(error)
                print(f"{name}: {error}", flush=True)
    print(json.dumps(found | {"lost": lost, "middle": _middle(found["rounds"])}))
    return 0


def _middle(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Give the middle of the tokens a second, by peer and streams."""
    speeds: dict[str, list[float]] = {}
    for row in rows:
        speeds.setdefault(f"{row['peer']} {row['streams']}", []).append(row["tokens_per_second"])
    return {name: statistics.median(found) for name, found in speeds.items()}


if __name__ == "__main__":
    sys.exit(main())
