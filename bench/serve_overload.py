"""Ten times as many stock clients as the engine takes, for a minute; and what the same flood costs beside the server.

    python bench/serve_overload.py [--seconds 60] [--model ID --project DIR --engine openvino --dtype float32]

calm:     as many lean clients as the engine takes at once: the unloaded capacity.
overload: ten times as many of OpenAI's own clients, with their own retries. What is accepted must have its first token
          within --slo at p99, all else is 429 or 503 with Retry-After, memory stays flat.
beside:   the calm clients again, while an equal flood hits a stub that refuses everything: what the flood's own work
          takes of this machine. Goodput under overload is held against this.

The last line is JSON with every figure.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from serve_gateway import add_engine_options, engine_of
from serving.load import Gateway, Heard, Place, ask_until, cpu_seconds

AT_ONCE = 16
"""As many as the engines take: the CPU engine, and that of fixed speed."""
TURN_SHARE = 0.8
"""The server promises a turn within so much of the time to the first token; the rest is the token's, and the way."""
FLOOD = Path(__file__).parent / "serving" / "flood.py"


def calm(place: Place, seconds: float, tokens: int) -> dict[str, Any]:
    """Ask with as many lean clients as the engine takes: tokens a second, and their share of a core."""
    heard: list[Heard] = []

    async def run() -> None:
        end = time.perf_counter() + seconds
        await asyncio.gather(*(ask_until(place, end, heard, tokens) for _ in range(AT_ONCE)))

    used, begun = cpu_seconds(), time.perf_counter()
    asyncio.run(run())
    passed = time.perf_counter() - begun
    said = sum(one.tokens for one in heard if one.status == 200)
    return {
        "tokens_per_second": round(said / passed, 1),
        "statuses": {
            str(status): sum(one.status == status for one in heard) for status in {one.status for one in heard}
        },
        "core": round((cpu_seconds() - used) / passed, 3),
    }


def flood(url: str, model: str, clients: int, seconds: float, tokens: int) -> "subprocess.Popen[str]":
    """Start the stock clients."""
    command = [sys.executable, str(FLOOD), url, model, str(clients), str(seconds), str(tokens)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def heard_of(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """Give what a flood tells at its end."""
    out, _ = process.communicate()
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def main() -> int:
    """Run the three in order."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--slo", type=float, default=5.0, help="what p99 of the first token is held against")
    add_engine_options(parser)
    options = parser.parse_args()
    found: dict[str, Any] = {"load": round(os.getloadavg()[0], 1), "model": options.model, "slo": options.slo}
    with Gateway(engine_of(options), first_token_seconds=TURN_SHARE * options.slo, waiting=1000) as server:
        place = server.place
        url = f"http://127.0.0.1:{place.port}/v1"
        found["calm"] = calm(place, options.seconds, options.tokens)
        print("calm     ", found["calm"], flush=True)
        before = server.resident_bytes
        found["overload"] = heard_of(flood(url, place.model, AT_ONCE * 10, options.seconds, options.tokens))
        print("overload ", found["overload"], flush=True)
        found["memory_mib"] = [round(before / 2**20, 1), round(server.resident_bytes / 2**20, 1)]
        wait = str(found["overload"]["advised_seconds"] or 1)
        with subprocess.Popen([sys.executable, str(FLOOD), "stub", wait], stdout=subprocess.PIPE, text=True) as stub:
            assert stub.stdout
            beside = f"http://127.0.0.1:{int(stub.stdout.readline())}/v1"
            other = flood(beside, place.model, AT_ONCE * 10 - AT_ONCE, options.seconds, options.tokens)
            found["beside"] = calm(place, options.seconds, options.tokens)
            found["beside"]["flood"] = heard_of(other)
            stub.terminate()
        print("beside   ", found["beside"], flush=True)
    good = found["overload"]["pieces_per_second"]
    found["goodput_share_of_beside"] = round(good / found["beside"]["tokens_per_second"], 3)
    found["goodput_share_of_calm"] = round(good / found["calm"]["tokens_per_second"], 3)
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
