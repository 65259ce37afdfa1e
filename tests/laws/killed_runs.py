"""Run a recipe in children that are killed at random moments: `killed_runs.py RECIPE FOLDER KILLS`.

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


def main(recipe: Path, folder: Path, kills: int) -> dict[str, object]:
    """Kill so many runs. Gives how many were, in how many projects, and the last project's folder, not yet finished.

    A run that ends before its moment has come leaves a finished project: the next one begins another.
    """
    draw = random.Random(11)
    begun = time.monotonic()
    _wait(_start(recipe, folder / "timed"))
    whole_seconds = time.monotonic() - begun
    killed = projects = 0
    while killed < kills and projects <= kills:
        project = folder / str(projects)
        child = _start(recipe, project)
        time.sleep(draw.uniform(0, whole_seconds))
        os.kill(child, signal.SIGKILL)
        was_killed = _wait(child)
        killed += was_killed
        projects += not was_killed
        store = Store(project)
        for card in store.cards():
            store.verify(store.find(card.id))
    return {"killed": killed, "projects": projects, "project": str(folder / str(projects))}


def _start(recipe: Path, project: Path) -> int:
    child = os.fork()
    if child == 0:
        try:
            run(load_recipe(recipe), Store(project), hush)
        finally:
            os._exit(0)
    return child


def _wait(child: int) -> bool:
    """Whether it was killed."""
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))))
