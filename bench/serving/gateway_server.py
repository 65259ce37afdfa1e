"""One process of `bench/serve_gateway.py`: the server with its engine, or the engine alone.

python bench/serving/gateway_server.py '{"model": null, "settings": {}}'    serves; prints port and model
python bench/serving/gateway_server.py '{"model": null, "raw": true}'       reads [streams, tokens] line by line;
                                                                            prints tokens/s and times to the first

`model` is an artifact's id, with `project`, `engine` and `dtype`; without one it is an engine of fixed speed.
"""

import argparse
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from luthier.artifact.example import Message
from luthier.engine.ports import ALWAYS_TAKEN, Answer, ChatModel, Closing, Piece, Prompt, Sampling
from luthier.event import Event, Said, Tell
from luthier.serve.given import Given
from luthier.serve.run import serve
from luthier.serve.spec import ServeSpec

STEP_SECONDS = 0.010
AT_ONCE = 16


class Fixed:
    """An engine of fixed speed: one token for each running stream every step, as continuous batching gives them."""

    def __init__(self, name: str = "fixed", word: str = " word", *, burns: bool = True, at_once: int = AT_ONCE) -> None:
        self.name = name
        self.at_once = at_once
        self._word = word
        self._burns = burns
        self._step = threading.Condition()
        self._number = 0
        self._running = 0
        threading.Thread(target=self._run, daemon=True).start()

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds."""
        return ALWAYS_TAKEN

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Nothing."""
        return {}

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell) -> list[Answer]:
        """Answer at once: only the check of a swap asks this way."""
        return [Answer(self._word, (0,), (0,), "stop") for _ in prompts]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Say the word, a token a step."""
        count = sampling.max_tokens or 64
        with self._step:
            self._running += 1
            self._step.notify_all()
        try:
            for number in range(count):
                with self._step:
                    seen = self._number
                    self._step.wait_for(lambda seen=seen: self._number > seen)  # type: ignore[misc]
                if cancelled():
                    return
                yield Piece(self._word, None, (number,))
            yield Piece("", Answer(self._word * count, tuple(range(count)), (0,) * 8, "length"))
        finally:
            with self._step:
                self._running -= 1

    def _run(self) -> None:
        data = bytes(1 << 20)  # hashing lets the other threads run, as a real engine's kernels do
        while True:
            with self._step:
                self._step.wait_for(lambda: self._running > 0)
            end = time.perf_counter() + STEP_SECONDS
            if not self._burns:
                time.sleep(STEP_SECONDS)
            while self._burns and time.perf_counter() < end:
                hashlib.sha256(data).digest()
            with self._step:
                self._number += 1
                self._step.notify_all()


def open_engine(asked: Mapping[str, Any]) -> ChatModel:
    """Give the engine that is asked."""
    if asked["model"] is None:
        return Fixed(burns=not asked["idle"])
    from luthier.artifact.store import Store
    from luthier.recipe.openers import open_named

    return open_named(Store(asked["project"]), asked["model"], engine=asked["engine"], dtype=asked["dtype"])


def raw(model: ChatModel, streams: int, tokens: int) -> tuple[float, list[float]]:
    """Ask the engine itself in threads: tokens a second, and when each one's first token came."""
    prompt = (Message("user", "Tell me a long story."),)
    firsts: list[float] = []
    counts: list[int] = []

    def one() -> None:
        begun, first, count = time.perf_counter(), 0.0, 0
        for piece in model.stream(prompt, Sampling(max_tokens=tokens, temperature=0), lambda: False):
            first = first or time.perf_counter() - begun
            count += len(piece.token_ids)
        firsts.append(first)
        counts.append(count)

    begun = time.perf_counter()
    threads = [threading.Thread(target=one) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begun), firsts


def serving(asked: Mapping[str, Any]) -> None:
    """Serve until a signal; print the port and the model's name."""
    model = open_engine(asked)

    def opens(name: str) -> ChatModel:
        return Fixed(name, f" {name}", burns=False) if asked["model"] is None else open_engine({**asked, "model": name})

    def tell(event: Event) -> None:
        if isinstance(event, Said) and event.text.startswith("or look: "):
            print(json.dumps([int(event.text.rstrip("/").rpartition(":")[2]), model.name]), flush=True)

    try:
        serve(ServeSpec.model_validate({"port": 0, **asked["settings"]}), [model], tell, Given(open_model=opens))
    finally:
        if isinstance(model, Closing):
            model.close()


def main() -> int:
    """Do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("asked", type=json.loads)
    plain: dict[str, Any] = {
        "model": None,
        "idle": False,
        "project": ".luthier",
        "engine": "auto",
        "dtype": "auto",
        "settings": {},
    }
    asked = {**plain, **parser.parse_args().asked}
    if "raw" not in asked:
        serving(asked)
        return 0
    model = open_engine(asked)
    for line in sys.stdin:
        print(json.dumps(raw(model, *json.loads(line))), flush=True)
    if isinstance(model, Closing):
        model.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
