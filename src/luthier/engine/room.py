"""The memory that engines share: who was asked longest ago goes to rest where another needs its place."""

import threading

from luthier.engine.supervised import Supervised
from luthier.errors import RoomError
from luthier.model.machine import free_memory_bytes, gigabytes

SHARE = 0.7
"""Of the memory that is free when the room is made; the rest is for everything else."""


class Room:
    """Engines that may run at the same time, within a budget of bytes."""

    def __init__(self, budget_bytes: int | None = None) -> None:
        """Without a budget it is a share of the memory that is free now; None stays no bound where that is unknown."""
        free = free_memory_bytes()
        self.budget_bytes = budget_bytes or (None if free is None else int(free * SHARE))
        self._engines: list[Supervised] = []
        self._lock = threading.Lock()

    def take_in(self, engine: Supervised) -> None:
        """Start an engine, and have it ask for its place here each time it starts again."""
        engine.make_room = self.make_room
        self._engines.append(engine)
        engine.start()

    def make_room(self, engine: Supervised) -> None:
        """Put engines to rest until this one fits. Raises RoomError if it does not fit beside those that are busy."""
        if self.budget_bytes is None:
            return
        with self._lock:
            self._engines = [one for one in self._engines if not one.is_closed]
            others = [one for one in self._engines if one is not engine and one.is_running]
            for idle in sorted(others, key=lambda one: one.last_asked):
                if self._over(engine, others) <= 0:
                    return
                if idle.rest():
                    others.remove(idle)
            over = self._over(engine, others)
        if over > 0:
            raise RoomError(
                f"{engine.name} needs {gigabytes(engine.peak_bytes)}, and {gigabytes(over)} of them are not to be had",
                where=f"a budget of {gigabytes(self.budget_bytes)} for engines",
                mend="ask again when others are less busy, serve fewer models, or a narrower kind (openvino-q8)",
            )

    def _over(self, engine: Supervised, others: list[Supervised]) -> int:
        return sum(one.peak_bytes for one in (engine, *others)) - (self.budget_bytes or 0)
