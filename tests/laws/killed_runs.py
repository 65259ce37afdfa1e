"""Run a recipe in children that are killed at random moments: `killed_runs.py RECIPE PROJECT KILLS`.

Modules are loaded once, before the first fork, so that a kill falls into the work and not into the imports; the
parent computes nothing, so a child starts with no thread pool of its parent's. The last line printed is JSON.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import luthier.engine.local
import luthier.fetch.finish
import luthier.prepare.build
import luthier.tune.train  # noqa: F401
from luthier.artifact.store import Store
from luthier.event import hush
from luthier.recipe.load import load_recipe
from luthier.recipe.run import run


def main(recipe: Path, root: Path, kills: int) -> dict[str, int]:
    """Give how many children were killed before their end, and after how many all was whole."""
    draw = random.Random(11)
    store = Store(root)
    killed = whole = 0
    for _ in range(kills):
        child = os.fork()
        if child == 0:
            try:
                run(load_recipe(recipe), store, hush)
            finally:
                os._exit(0)
        time.sleep(draw.uniform(0.05, 1.5))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        for card in store.cards():
            store.verify(store.find(card.id))
        whole += 1
    return {"killed": killed, "whole_after_each": whole}


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
