"""How fast a run is, how long it will take, and how much memory it holds."""

import time

import torch


class Clock:
    """Tokens a second over the last steps, and the seconds left."""

    def __init__(self, steps: int) -> None:
        self._left = steps
        self._marks: list[tuple[float, int]] = [(time.monotonic(), 0)]

    def tick(self, tokens: int) -> tuple[float, float]:
        """One step is done. Gives (tokens per second, seconds left)."""
        self._left -= 1
        self._marks = [*self._marks[-20:], (time.monotonic(), tokens)]
        seconds = max(1e-9, self._marks[-1][0] - self._marks[0][0])
        counted = self._marks[1:]
        return sum(count for _, count in counted) / seconds, seconds / len(counted) * self._left


def memory_bytes() -> int:
    """Give what the process holds now: on a GPU what its allocator does, else its resident memory; 0 if not told."""
    if torch.cuda.is_available():
        return int(torch.cuda.memory_allocated())
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * 4096
    except OSError:
        return 0
