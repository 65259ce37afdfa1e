"""A child that answers by rules instead of a model: it dies, hangs and refuses where its orders say so."""

import json
import os
import sys
import time
from typing import Any


def main() -> None:
    opening = json.loads(sys.stdin.readline())
    if opening.get("dies"):
        print("cannot read the weights", file=sys.stderr)
        os._exit(3)
    print(json.dumps({"ready": os.getpid()}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        for one in order.get("all", [order]):
            if "ask" in one:
                obey(one, place=order.get("all", [order]).index(one))


def obey(order: dict[str, Any], place: int) -> None:
    """Do what one order asks; the first step says which place in its line it has."""
    do = order.get("do", "answer")
    if do == "die":
        os.abort()
    if do == "hang":
        time.sleep(60)
    if do == "refuse":
        refused = [order["ask"], "no such schema", "the engine", "change the request as the message says"]
        print(json.dumps({"refused": refused}), flush=True)
    if do == "answer":
        print(json.dumps({"steps": [[order["ask"], [7 + 10 * place], None]]}), flush=True)
        print(json.dumps({"steps": [[order["ask"], [8], "stop"]]}), flush=True)


if __name__ == "__main__":
    main()
