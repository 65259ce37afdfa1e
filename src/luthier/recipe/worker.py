"""A worker: one process with one model, asked in lines of JSON by the gateway that started it.

The first line says what to open. Then `{"ask": number, "prompt": ..., "sampling": ...}` and `{"cancel": number}`; out
come `{"ready": {...}}` once the model answers, a beat twice a second, and `{"steps": [[number, [piece], finish]]}`.
`{"ask": number, "encode": prompt}` and `{"ask": number, "spell": ids}` ask for what the model knows of its tokens.
"""

import base64
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TextIO

from luthier.artifact.store import Store
from luthier.engine.ports import ChatModel, Closing, Spelled, streams_at_once, words_of
from luthier.engine.wire import PIECE, PROMPT, SAMPLING, plain
from luthier.errors import DataError, LuthierError
from luthier.event import Chose, Event, Said, Warned
from luthier.recipe.openers import open_named

BEAT_SECONDS = 0.5
LAST_SECONDS = 10.0
"""A worker whose gateway is gone ends within this, whatever its engine does."""

Order = Mapping[str, Any]


class Worker:
    """The model, and the requests it has."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._saying = threading.Lock()
        self._gone: dict[int, threading.Event] = {}

    def say(self, line: Mapping[str, Any]) -> None:
        """Say a line to the gateway."""
        with self._saying:
            self._out.write(json.dumps(line) + "\n")
            self._out.flush()

    def tell(self, event: Event) -> None:
        """Hand on what a person who runs the server wants to know."""
        if isinstance(event, Chose):
            self.say({"said": f"{event.what}: {event.value} ({event.why})"})
        elif isinstance(event, Said):
            self.say({"said": event.text})
        elif isinstance(event, Warned):
            self.say({"said": f"{event.what}; {event.mend}"})

    def beat(self, model: ChatModel) -> None:
        """Beat until the process ends."""
        while True:
            self.say({"beat": time.time()})
            time.sleep(BEAT_SECONDS)

    def work(self, model: ChatModel, orders: "queue.SimpleQueue[Order | None]") -> None:
        """Answer until the gateway closes the line."""
        at_once, words = streams_at_once(model), words_of(model)
        told = {"takes": sorted(model.takes), "defaults": dict(model.defaults), "at_once": at_once, "pid": os.getpid()}
        if words is not None:
            told |= {"context": words.context, "vocabulary": words.vocabulary}
        self.say({"ready": told})
        threading.Thread(target=self.beat, args=(model,), daemon=True).start()
        with ThreadPoolExecutor(at_once) as pool, ThreadPoolExecutor(1) as reading:
            while (order := orders.get()) is not None:
                if "cancel" in order:
                    gone = self._gone.get(order["cancel"])
                    if gone is not None:
                        gone.set()
                elif "prompt" in order:
                    self._gone[order["ask"]] = threading.Event()
                    pool.submit(self.answer, model, order)
                else:
                    reading.submit(self.read, words, order)
            for gone in list(self._gone.values()):
                gone.set()

    def read(self, words: Spelled | None, order: Order) -> None:
        """Give a prompt's ids, or the bytes of ids."""
        number = order["ask"]
        try:
            assert words is not None, "a model that knows no tokens is not asked for them"
            found: list[Any]
            if "encode" in order:
                found = list(words.encode(PROMPT.validate_python(order["encode"])))
            else:
                found = [base64.b64encode(token).decode() for token in words.spell(order["spell"])]
            self.say({"steps": [[number, [found], "stop"]]})
        except Exception as error:  # carried to the request that asked
            self.fail(number, error)

    def fail(self, number: int, error: Exception) -> None:
        """Say what went wrong with one request."""
        if isinstance(error, DataError):
            self.say({"refused": [number, error.what, error.where, error.mend]})
        else:
            what = error.what if isinstance(error, LuthierError) else f"{type(error).__name__}: {error}"
            self.say({"broken": [number, what]})

    def answer(self, model: ChatModel, order: Mapping[str, Any]) -> None:
        """Answer one request."""
        number, gone = order["ask"], self._gone[order["ask"]]
        try:
            prompt = PROMPT.validate_python(order["prompt"])
            sampling = SAMPLING.validate_python(order["sampling"])
            for piece in model.stream(prompt, sampling, gone.is_set):
                finish = piece.answer.finish if piece.answer else None
                self.say({"steps": [[number, [plain(PIECE, piece)], finish]]})
        except Exception as error:  # carried to the request that asked
            self.fail(number, error)
        finally:
            del self._gone[number]


def _listen(said: TextIO, orders: "queue.SimpleQueue[Order | None]") -> None:
    for line in said:
        orders.put(json.loads(line))
    orders.put(None)
    threading.Timer(LAST_SECONDS, os._exit, [0]).start()  # a daemon, as this thread is: it holds nothing up


def main() -> None:
    """Open the model the first line names, and answer."""
    for kind in (signal.SIGINT, signal.SIGTERM):
        signal.signal(kind, signal.SIG_IGN)  # the gateway lets its answers end, then closes the line
    worker = Worker(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)  # what a library prints is no line of ours
    said = os.fdopen(os.dup(0), encoding="utf-8")  # not sys.stdin: an exit does not wait for who reads this
    opening = json.loads(said.readline())
    orders: queue.SimpleQueue[Order | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(said, orders), daemon=True).start()
    store = Store(Path(opening["project"]))
    try:
        model = open_named(store, opening["open"], dtype=opening["dtype"], engine=opening["engine"], tell=worker.tell)
    except LuthierError as error:
        sys.exit(f"{error.what} ({error.where}): {error.mend}")
    try:
        worker.work(model, orders)
    finally:
        if isinstance(model, Closing):
            model.close()


if __name__ == "__main__":
    main()
