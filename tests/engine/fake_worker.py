"""A worker without a model: says its process's number three times, beats, and does worse where it is asked to."""

import json
import os
import sys
import threading
import time
from typing import Any

SAYING = threading.Lock()
ENCODED = "Z8Op"
"""Base64 of the bytes of `gé`."""


def say(line: object) -> None:
    with SAYING:
        print(json.dumps(line), flush=True)


def beat() -> None:
    while True:
        say({"beat": 1})
        time.sleep(0.2)


def answer(order: dict[str, Any], slow: float, same: bool) -> None:
    text = order["prompt"]
    if text == "refuse":
        say({"refused": [order["ask"], "it is too long", "the prompt", "shorten it"]})
        return
    for place in range(3):
        time.sleep(slow)
        word = "the same " if same else f"{os.getpid()} "
        last = {"text": word * 3, "token_ids": [1, 2, 3], "prompt_ids": [], "finish": "stop"}
        piece = {"text": word, "token_ids": [place], "answer": last if place == 2 else None}
        say({"steps": [[order["ask"], [piece], "stop" if place == 2 else None]]})


def read(order: dict[str, Any]) -> None:
    if order.get("encode") == "refuse":
        say({"refused": [order["ask"], "it is too long", "the prompt", "shorten it"]})
        return
    found: list[Any] = list(map(ord, order["encode"])) if "encode" in order else [ENCODED] * len(order["spell"])
    say({"steps": [[order["ask"], [found], "stop"]]})


def main() -> None:
    opening = json.loads(sys.stdin.readline())
    if opening.get("dies"):
        sys.exit("there is no such model")
    told = {"takes": ["max_tokens", "temperature"], "defaults": {"temperature": 0.0}, "at_once": 4}
    say({"ready": told | opening.get("tells", {})})
    threading.Thread(target=beat, daemon=True).start()
    for line in sys.stdin:
        order = json.loads(line)
        if "encode" in order or "spell" in order:
            read(order)
        elif "ask" in order:
            threading.Thread(
                target=answer, args=(order, opening["slow"], opening.get("same", False)), daemon=True
            ).start()


if __name__ == "__main__":
    main()
