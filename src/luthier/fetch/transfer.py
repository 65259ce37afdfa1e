"""Brings files: several at once, large ones in ranged parts, going on from whatever byte an earlier attempt reached."""

import os
import shutil
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from luthier.artifact import atomic
from luthier.errors import FetchError
from luthier.event import Chose, Progress
from luthier.fetch.line import Hiccup, Hung, Line, bare
from luthier.fetch.partial import Changed, Item, Partial, body_length, part_bytes, validator_of
from luthier.fetch.room import MadeOf, check_room

LEAST_PART_BYTES = 16 << 20
"""Below this, another request costs more time than another connection saves."""
TELL_EVERY_SECONDS = 1.0
SPEED_OVER_SECONDS = 10.0
JOIN_SECONDS = 15.0
STRANGE_NAME_MEND = "do not trust this source: take the model or the rows from another one"


def bring(
    items: Sequence[Item],
    target: Path,
    work: Path,
    line: Line,
    connections: int,
    least_part_bytes: int = LEAST_PART_BYTES,
    made_of: MadeOf = lambda name, size: 0,
) -> None:
    """Bring every item to its name under `target`, each of the size and checksum promised; `made_of` says for how
    many more bytes the disk must have room.

    What was received lies in `work`, so that a kill at any byte costs no byte of it. A file that is not what was
    promised is brought once more. Raises FetchError if it is not then either, if a server refuses, or if the network
    gives nothing for long; RoomError if the disk has or leaves no room for it.
    """
    folder = work / "transfer"
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        _check_name(item)
    files = [_File(Partial(folder, item)) for item in items]
    kept = sum(file.partial.received() for file in files if file.partial.adopt())
    if kept:
        line.tell(Chose("go on from", f"{kept:,} bytes", f"they lie in {folder} from an attempt that broke off"))
    made = sum(made_of(file.partial.item.name, file.partial.size or 0) for file in files)
    check_room(work, "the download", sum(file.partial.size or 0 for file in files) - kept, made)
    with atomic.no_room(work):
        _Transfer(files, line, connections, least_part_bytes, made_of).run()
        for file in files:
            _place(file.partial.whole, target / file.partial.item.name)


@dataclass
class _File:
    partial: Partial
    begun_anew: int = 0
    ended: int = -1
    """The generation whose bytes were looked at."""


_Task = tuple[_File, int | None, int]
"""A file, its part (None: find out which parts there are), and the generation that the part is of."""


class _Transfer:
    def __init__(
        self, files: Sequence[_File], line: Line, connections: int, least_part_bytes: int, made_of: MadeOf
    ) -> None:
        self._files = files
        self._line = line
        self._connections = connections
        self._least = least_part_bytes
        self._made_of = made_of
        self._left = {file.partial.item.name for file in files}
        self._turn = threading.Condition()
        self._error: BaseException | None = None
        # small ones first: what is wrong with a model shows in its config, before the weights
        ordered = sorted(files, key=lambda file: (file.partial.size or 0, file.partial.item.name))
        self._tasks: deque[_Task] = deque((file, None, file.partial.generation) for file in ordered)
        self._seen: deque[tuple[float, int]] = deque()

    def run(self) -> None:
        self._seen.append((time.monotonic(), sum(file.partial.received() for file in self._files)))
        threads = [threading.Thread(target=self._work, daemon=True) for _ in range(self._connections)]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                with self._turn:
                    if self._left and not self._error:
                        self._turn.wait(TELL_EVERY_SECONDS)
                self._tell()
                if self._error or not self._left:
                    break
        finally:
            if self._error or self._left:
                self._line.hang_up()
            for thread in threads:
                thread.join(JOIN_SECONDS)
            for file in self._files:
                file.partial.close()
        if self._error:
            raise self._error
        total = sum(file.partial.size or 0 for file in self._files)
        self._line.tell(Progress("download", total, total, "bytes"))

    def _tell(self) -> None:
        done = sum(file.partial.received() for file in self._files)
        total = max(done, sum(file.partial.size or 0 for file in self._files))
        now = time.monotonic()
        if now - self._seen[-1][0] < TELL_EVERY_SECONDS / 2:
            return
        self._seen.append((now, done))
        while now - self._seen[0][0] > SPEED_OVER_SECONDS:
            self._seen.popleft()
        seconds = now - self._seen[0][0]
        speed = max(0.0, (done - self._seen[0][1]) / seconds) if seconds > 0 else 0.0
        if self._left and not self._error and speed:
            self._line.tell(Progress("download", done, total, "bytes", speed, (total - done) / speed))

    def _work(self) -> None:
        while (task := self._take()) is not None:
            try:
                self._do(*task)
            except Hung:
                return
            except BaseException as error:
                with self._turn:
                    self._error = self._error or error
                    self._turn.notify_all()
                return

    def _take(self) -> _Task | None:
        with self._turn:
            while not self._tasks and self._left and not self._error:
                self._turn.wait()
            return None if self._error or not self._left else self._tasks.popleft()

    def _do(self, file: _File, index: int | None, generation: int) -> None:
        partial = file.partial
        try:
            if index is None:
                if not partial.is_planned:
                    self._plan(partial)
                generation = partial.generation
                with self._turn:
                    self._tasks.extendleft((file, part, generation) for part in reversed(partial.missing()))
                    self._turn.notify_all()
            elif generation == partial.generation:
                generation = self._part(partial, index, generation)
        except Changed as change:
            if self._is_first_to_end(file, change.generation):
                self._anew(file, str(change))
            return
        if generation == partial.generation and not partial.missing() and self._is_first_to_end(file, generation):
            self._end(file)

    def _plan(self, partial: Partial) -> None:
        size, validator, has_parts = partial.item.size, "", True
        if size is None:
            size, validator, has_parts = self._probe(partial.item)
            more = self._made_of(partial.item.name, size or 0)
            check_room(partial.whole.parent, "the download", size or 0, more)
        parts = part_bytes(size, self._connections, self._least) if size is not None and has_parts else None
        partial.plan(size, validator, parts)

    def _probe(self, item: Item) -> tuple[int | None, str, bool]:
        """Ask for one byte: gives the size, what names the content, and whether the server gives parts."""

        def attempt() -> tuple[int | None, str, bool]:
            with self._line.stream(item.url, item.asked, {"Range": "bytes=0-0"}, item.private) as answer:
                if answer.status_code == 200:
                    return body_length(answer), validator_of(answer), False
                total = answer.headers.get("content-range", "").rpartition("/")[2]
                return int(total) if total.isdigit() else None, validator_of(answer), total.isdigit()

        return self._line.persist(item.url, attempt)

    def _part(self, partial: Partial, index: int, generation: int) -> int:
        """Bring what a part lacks. Gives the generation it came to belong to."""
        item, now = partial.item, (index, generation)

        def attempt() -> None:
            nonlocal now
            question = partial.question(*now)
            if question is None:
                return
            with self._line.stream(item.url, item.asked, question, item.private) as answer:
                begun = partial.begin(*now, answer)
                if begun is None:
                    return
                now = begun
                is_packed = answer.headers.get("content-encoding", "identity") != "identity"
                for data in self._line.steady(answer.iter_bytes() if is_packed else answer.iter_raw()):
                    if not partial.write(*now, data):
                        return
            if lacks := partial.lacks(*now):
                raise Hiccup(f"closed the connection {lacks:,} bytes too soon")
            partial.end_here(*now)

        self._line.persist(item.url, attempt, lambda: partial.highest)
        return now[1]

    def _is_first_to_end(self, file: _File, generation: int) -> bool:
        with self._turn:
            if file.ended == generation or generation != file.partial.generation:
                return False
            file.ended = generation
            return True

    def _end(self, file: _File) -> None:
        if not file.partial.whole.exists():
            fault = file.partial.fault()
            if fault is not None:
                self._anew(file, fault)
                return
            file.partial.seal()
        with self._turn:
            self._left.discard(file.partial.item.name)
            self._turn.notify_all()

    def _anew(self, file: _File, why: str) -> None:
        partial, item = file.partial, file.partial.item
        partial.remove()
        file.begun_anew += 1
        if file.begun_anew > 1:
            raise FetchError(
                f"{item.name} is not what was promised: {why}",
                where=f"{bare(item.url)}, {item.name}",
                mend="run the same command again; if it stays so, the server or a proxy in between is at fault",
            )
        self._line.tell(Chose("download once more", item.name, why))
        with self._turn:
            self._tasks.append((file, None, partial.generation))
            self._turn.notify_all()


def _check_name(item: Item) -> None:
    path = PurePosixPath(item.name)
    is_inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
    if not is_inside or "\\" in item.name or "\0" in item.name:
        raise FetchError(
            f"the file name {item.name!r} leads out of the folder",
            where=item.asked.where,
            mend=STRANGE_NAME_MEND,
        )
    if not item.name.isprintable():
        raise FetchError(
            f"the file name {item.name!r} is not one to write to a disk", where=item.asked.where, mend=STRANGE_NAME_MEND
        )


def _place(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)  # one disk, no copy
    except OSError:  # file systems without hard links
        shutil.copyfile(source, target)
