"""How fast a run is, and how long it will take."""

import time


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
