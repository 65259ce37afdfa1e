"""An engine in a process of its own: started, watched, started again after a crash, put to rest when nobody asks."""

import itertools
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from luthier.engine.child import Child
from luthier.errors import DataError, ServeError
from luthier.event import Said, Tell, Warned, hush

STUCK_SECONDS = 60.0
"""A process that has answers to give and says nothing for so long is killed."""
WAIT_SECONDS = 120.0
"""The longest a request waits for a process that is being started again."""
QUIET_SECONDS = 60.0
"""A process that lived so long died by a new cause: pauses begin anew."""
LONGEST_PAUSE_SECONDS = 30.0

State = Literal["resting", "starting", "ready", "pausing", "failed", "closed"]


class Step(NamedTuple):
    """What the engine adds to one answer."""

    number: int
    ids: Sequence[Any]
    """Token ids; from a worker, pieces as plain JSON."""
    finish: Literal["stop", "length"] | None


Box = queue.SimpleQueue[Step | Exception]
"""Where the steps of one or more requests are put, and the error that ends them."""


class Supervised:
    """One engine process, and the requests it has."""

    def __init__(
        self,
        module: str,
        opening: Mapping[str, Any],
        *,
        name: str,
        peak_bytes: int = 0,
        stuck_seconds: float = STUCK_SECONDS,
        beats: bool = False,
        tell: Tell = hush,
    ) -> None:
        """Start nothing yet. `peak_bytes` is what the process takes, as the room counts it.

        A process that has requests, or that `beats`, and says nothing for `stuck_seconds` is killed.
        """
        self.told: Mapping[str, Any] = {}
        """What the process said of itself when it was ready."""
        self._stuck_seconds, self._beats = stuck_seconds, beats
        self.name = name
        self.peak_bytes = peak_bytes
        self.last_asked = time.monotonic()
        self.make_room: Callable[[Supervised], None] = lambda engine: None
        """Called before a process is started."""
        self._module, self._opening, self._tell = module, dict(opening), tell
        self._state: State = "resting"
        self._why = ""
        self._child: Child | None = None
        self._boxes: dict[int, Box] = {}
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._deaths = 0
        self._begun = self._heard = time.monotonic()
        self._again_at = 0.0

    @property
    def is_running(self) -> bool:
        """Whether there is a process."""
        return self._child is not None

    @property
    def load(self) -> int:
        """How many requests it has."""
        return len(self._boxes)

    @property
    def silent_seconds(self) -> float:
        """How long ago it said something, while it could; 0 for one that does not beat."""
        return time.monotonic() - self._heard if self._beats and self._state == "ready" else 0.0

    @property
    def is_closed(self) -> bool:
        """Whether it was ended for good."""
        return self._state == "closed"

    @property
    def process_number(self) -> int | None:
        """The number of the process, while there is one."""
        child = self._child
        return child.number if child else None

    def start(self) -> None:
        """Start the process and wait until it can be asked. Raises ServeError with its last words if it ends before."""
        self.last_asked = time.monotonic()
        self._wake()
        with self._changed:
            self._changed.wait_for(lambda: self._state != "starting")
            if self._state != "ready":
                raise self._down()

    def ask(self, order: Mapping[str, Any], box: Box) -> int:
        """Hand in a request; its steps come into the box under the number that is given back.

        Waits while the process is being started. Raises ServeError if it cannot be asked.
        """
        return self._hand_in(box, 1, lambda numbers: {"ask": numbers[0], **order})[0]

    def ask_all(self, orders: Sequence[Mapping[str, Any]], box: Box) -> list[int]:
        """Hand in several requests as one line, so that the process begins with all of them; as `ask` does."""

        def line(numbers: Sequence[int]) -> dict[str, Any]:
            return {"all": [{"ask": number, **order} for number, order in zip(numbers, orders, strict=True)]}

        return self._hand_in(box, len(orders), line)

    def _hand_in(self, box: Box, count: int, line: Callable[[Sequence[int]], Mapping[str, Any]]) -> list[int]:
        self.last_asked = time.monotonic()
        self._wake()
        with self._changed:
            self._changed.wait_for(lambda: self._state in ("ready", "failed", "closed") or self._pauses(), WAIT_SECONDS)
            if self._state != "ready" or self._child is None:
                raise self._down()
            if not self._boxes:
                self._heard = time.monotonic()  # silence counts from the first request on
            numbers = list(itertools.islice(self._numbers, count))
            self._boxes.update(dict.fromkeys(numbers, box))
            self._child.send(line(numbers))
            return numbers

    def cancel(self, number: int) -> None:
        """Forget a request; the engine drops it before its next step. Nothing happens for one that has ended."""
        with self._changed:
            if self._boxes.pop(number, None) is not None and self._child is not None:
                self._child.send({"cancel": number})

    def ailing(self) -> str:
        """Give why it cannot answer just now, '' while it can."""
        if self._state in ("ready", "resting"):
            return ""
        return {"starting": "its engine is being started", "closed": "it is closed"}.get(self._state, self._why)

    def rest(self) -> bool:
        """End the process until it is asked again, if it has no request. Gives whether it rests now."""
        with self._changed:
            if self._boxes or self._state != "ready":
                return self._child is None
            child, self._child, self._state = self._child, None, "resting"
        if child is not None:
            child.close()
        return True

    def close(self) -> None:
        """End the process for good; requests that it still has end with an error."""
        with self._changed:
            child, self._child, self._state = self._child, None, "closed"
            self._fail("it was closed")
            self._changed.notify_all()
        if child is not None:
            child.close()

    def _wake(self) -> None:
        if self._state in ("resting", "failed"):
            self.make_room(self)
        with self._changed:
            if self._state in ("resting", "failed"):
                self._begin()

    def _begin(self) -> None:
        self._state, self._begun = "starting", time.monotonic()
        self._child = Child(self._module, self._opening, self._hear, self._lost)

    def _pauses(self) -> bool:
        """Whether it died so often that nobody waits for the next start."""
        return self._state == "pausing" and self._deaths > 1

    def _hear(self, child: Child, line: Mapping[str, Any]) -> None:
        with self._changed:
            if child is not self._child:
                return
            self._heard = time.monotonic()
            if "ready" in line:
                self._state = "ready"
                if self._deaths:
                    self._say("it is back")
                self.told = line["ready"] if isinstance(line["ready"], dict) else {}
                self._changed.notify_all()
                threading.Thread(target=self._watch, args=(child,), daemon=True).start()
            elif "refused" in line:
                number, what, where, mend = line["refused"]
                self._end(number, DataError(what, where=where, mend=mend))
            elif "broken" in line:
                number, what = line["broken"]
                self._end(number, self._error(what))
            elif "said" in line:
                self._say(line["said"])
            for number, ids, finish in line.get("steps", ()):
                box = self._boxes.pop(number, None) if finish else self._boxes.get(number)
                if box is not None:
                    box.put(Step(number, ids, finish))

    def _say(self, what: str) -> None:
        threading.Thread(target=self._tell, args=(Said(f"{self.name}: {what}"),), daemon=True).start()

    def _end(self, number: int, error: Exception) -> None:
        box = self._boxes.pop(number, None)
        if box is not None:
            box.put(error)

    def _lost(self, child: Child, how: str) -> None:
        with self._changed:
            if child is not self._child:
                return
            lived = time.monotonic() - self._begun
            was_ready = self._state == "ready"
            self._child = None
            self._why = f"its process {how}"
            self._deaths = 1 if was_ready and lived > QUIET_SECONDS else self._deaths + 1
            self._fail(self._why)
            if not was_ready and self._deaths == 1:
                self._state, self._deaths = "failed", 0  # it never ran: to try again changes nothing
            else:
                pause = 0.0 if self._deaths == 1 else min(2.0 ** (self._deaths - 2), LONGEST_PAUSE_SECONDS)
                self._state, self._again_at = "pausing", time.monotonic() + pause
                threading.Thread(target=self._again, args=(pause,), daemon=True).start()
            self._changed.notify_all()
        self._tell(Warned(f"{self.name}: {self._why}", "see its last words; it is started again by itself"))

    def _again(self, pause: float) -> None:
        time.sleep(pause)
        with self._changed:
            if self._state == "pausing":
                self._begin()
                self._changed.notify_all()

    def _watch(self, child: Child) -> None:
        while child is self._child:
            time.sleep(min(1.0, self._stuck_seconds / 4))
            with self._changed:
                has_work = bool(self._boxes) or self._beats
                is_stuck = has_work and time.monotonic() - self._heard > self._stuck_seconds
            if is_stuck and child is self._child:
                child.kill()
                return

    def _fail(self, why: str) -> None:
        boxes, self._boxes = self._boxes, {}
        for box in {id(box): box for box in boxes.values()}.values():
            box.put(self._error(why))

    def _down(self) -> ServeError:
        if self._state == "pausing":
            seconds = max(0.0, self._again_at - time.monotonic())
            return self._error(f"{self._why}, {self._deaths} times in a row; it is started again in {seconds:.0f} s")
        return self._error(self.ailing() or "it did not start in time")

    def _error(self, why: str) -> ServeError:
        mend = "ask again: it is started anew; if it happens again, make the artifact anew (luthier quantize)"
        what = f"the engine of {self.name!r} cannot answer: {why}"
        return ServeError(what, where=str(self._opening["open"]), mend=mend)
