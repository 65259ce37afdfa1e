"""One file on its way: bytes at their final places, and a journal of how far each part of it has come.

KEY.part   the bytes, each part at its offset
KEY.got    eight bytes for each part: how many of its bytes lie in KEY.part, written after them
KEY.json   what it is a part of; if that is not what is wanted now, all begins anew
KEY.whole  the file, once size and checksum were right
"""

import hashlib
import json
import os
import re
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from luthier.artifact import atomic
from luthier.fetch.refusal import Asked

BOOT = Path("/proc/sys/kernel/random/boot_id")
PARTS_PER_CONNECTION = 4
"""Parts of a large file for each connection: few requests, and no connection that waits long for the last one."""
IF_RANGE = "If-Range"
COUNT = struct.Struct("<Q")


@dataclass(frozen=True)
class Item:
    """A file to bring: its path under the target folder, its address, and what is promised of it."""

    name: str
    url: str
    asked: Asked
    size: int | None = None
    sha256: str | None = None
    git_sha1: str | None = None
    """SHA-1 of `blob SIZE`, a zero byte and the content, as git names it."""
    private: Mapping[str, str] = field(default_factory=dict)
    """Headers for the origin of `url` only."""

    @property
    def promise(self) -> str:
        """What its content is known by; '' where nothing is promised."""
        return self.sha256 or self.git_sha1 or ""


class Changed(Exception):  # noqa: N818 (no error: it begins anew)
    """What the server has is not what the bytes of this generation are a part of."""

    def __init__(self, text: str, generation: int) -> None:
        super().__init__(text)
        self.generation = generation


class Partial:
    """The state on disk of one item. Every method may be called from any thread."""

    def __init__(self, folder: Path, item: Item) -> None:
        key = hashlib.sha256(item.name.encode()).hexdigest()[:20]
        self.item = item
        self.size = item.size
        self.is_planned = False
        self.whole = folder / f"{key}.whole"
        self.generation = 0
        """Counts the beginnings: who still brings a part of an older one is told to leave off."""
        self.highest = 0
        """The most bytes there ever were."""
        self._data, self._got, self._head = (folder / f"{key}.{suffix}" for suffix in ("part", "got", "json"))
        self._validator = ""
        self._ends: list[int | None] = []
        self._received: list[int] = []
        self._files: list[int] = []
        self._lock = threading.RLock()

    def adopt(self) -> bool:
        """Take up what an earlier process left, if it is of the same content. Gives whether there is something."""
        try:
            head = json.loads(self._head.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return False
        if head["of"] != self._identity(head["validator"], head["boot"]):
            return False
        if not (self.item.promise or head["validator"]):  # nothing could tell other content from this
            return False
        self.size, self._validator, self._ends = head["size"], head["validator"], head["ends"]
        if self.whole.exists() and self.whole.stat().st_size == self.size:
            self._received, self.is_planned = [self.size or 0], True
            return True
        if not (self._got.exists() and self._data.exists()):
            return False
        raw = self._got.read_bytes()
        raw = raw[: len(raw) // COUNT.size * COUNT.size]
        counts = [count for (count,) in COUNT.iter_unpack(raw)][: len(self._ends)]
        self._received = counts + [0] * (len(self._ends) - len(counts))
        self.highest, self.is_planned = sum(self._received), True
        return True

    def plan(self, size: int | None, validator: str, part_bytes: int | None) -> None:
        """Begin anew: `part_bytes` None means in one piece, from a server that cannot give parts.

        `validator` is a strong ETag or a date that says which content this is, or ''.
        """
        with self._lock:
            self._close()
            self.whole.unlink(missing_ok=True)
            self.generation += 1
            self.size, self._validator, self.is_planned = size, validator, True
            if size is None or part_bytes is None:
                self._ends = [size]
            else:
                self._ends = [min(size, begin + part_bytes) for begin in range(0, size, part_bytes)]
            self._received = [0] * len(self._ends)
            self._data.write_bytes(b"")
            self._got.write_bytes(b"")
            boot = BOOT.read_text().strip() if BOOT.exists() else ""
            head = {"of": self._identity(validator, boot), "size": size, "validator": validator, "boot": boot}
            atomic.write_text(self._head, json.dumps(head | {"ends": self._ends}))

    def missing(self) -> list[int]:
        """Give the parts that are not all here."""
        with self._lock:
            if self.whole.exists():
                return []
            begun = enumerate(self._ends)
            return [i for i, end in begun if end is None or self._begin(i) + self._received[i] < end]

    def received(self) -> int:
        """Give the bytes that are here."""
        return sum(self._received)

    def question(self, index: int, generation: int) -> dict[str, str] | None:
        """Give the headers that ask for what a part lacks; None if nobody wants it any more."""
        with self._lock:
            if generation != self.generation:
                return None
            begin, end = self._begin(index) + self._received[index], self._ends[index]
            if begin == 0 and len(self._ends) == 1:
                return {}
            headers = {"Range": f"bytes={begin}-{'' if end is None else end - 1}"}
            # with a checksum to come, the mirrors of a hub may differ in their ETags
            return headers if self.item.promise or not self._validator else {**headers, IF_RANGE: self._validator}

    def begin(self, index: int, generation: int, answer: httpx.Response) -> tuple[int, int] | None:
        """Give the part and the generation that an answer's bytes belong to; None if nobody wants them any more.

        An answer with the whole file instead of a part makes a beginning anew. Raises Changed if the answer is of
        another content or place than asked.
        """
        with self._lock:
            if generation != self.generation:
                return None
            if answer.status_code == 416:
                raise Changed("ends sooner than it said", generation)
            if answer.status_code == 206:
                self._compare(index, answer)
                return index, generation
            length = body_length(answer)
            if self.item.size is not None and length not in (None, self.item.size):
                raise Changed(f"has {length:,} bytes, {self.item.size:,} were promised", generation)
            if len(self._ends) > 1 or self._received[index] or self.size != length:
                self.plan(self.item.size if length is None else length, validator_of(answer), None)
            return 0, self.generation

    def write(self, index: int, generation: int, data: bytes) -> bool:
        """Put the next bytes of a part where they belong. False if nobody wants them any more.

        Raises Changed if there are more than the part should have.
        """
        with self._lock:
            if generation != self.generation:
                return False
            at, end = self._begin(index) + self._received[index], self._ends[index]
            if end is not None and at + len(data) > end:
                raise Changed(f"sends more than the {end - self._begin(index):,} bytes asked for", generation)
            data_file, got_file = self._opened()
            view = memoryview(data)
            while view:
                written = os.pwrite(data_file, view, at)
                view, at = view[written:], at + written
            self._received[index] += len(data)
            os.pwrite(got_file, COUNT.pack(self._received[index]), COUNT.size * index)
            self.highest = max(self.highest, sum(self._received))
            return True

    def lacks(self, index: int, generation: int) -> int:
        """Give the bytes a part lacks; 0 where its end is not known."""
        with self._lock:
            if generation != self.generation or (end := self._ends[index]) is None:
                return 0
            return end - self._begin(index) - self._received[index]

    def end_here(self, index: int, generation: int) -> None:
        """Note that a file whose length nobody told ends with what is here."""
        with self._lock:
            if generation == self.generation and self._ends[index] is None:
                self._ends[index] = self.size = self._received[index]

    def fault(self) -> str | None:
        """Say in what the bytes differ from what was promised, or None."""
        size = self._data.stat().st_size
        if size != self.size or self.item.size not in (None, size):
            return f"{size:,} bytes instead of {self.item.size or self.size:,}"
        if self.item.sha256 is not None and atomic.sha256(self._data) != self.item.sha256:
            return f"its SHA-256 is not {self.item.sha256}"
        if self.item.sha256 is None and self.item.git_sha1 not in (None, git_sha1(self._data)):
            return f"its git SHA-1 is not {self.item.git_sha1}"
        return None

    def seal(self) -> None:
        """Make it whole, on disk when this returns."""
        with self._lock:
            self._close()
            atomic.sync(self._data)
            os.replace(self._data, self.whole)
            self._got.unlink(missing_ok=True)

    def remove(self) -> None:
        """Leave nothing of it."""
        with self._lock:
            self._close()
            self.generation += 1
            for path in (self._data, self._got, self._head, self.whole):
                path.unlink(missing_ok=True)
            self._ends, self._received, self.size, self.is_planned = [], [], self.item.size, False

    def close(self) -> None:
        """Let go of the files."""
        with self._lock:
            self._close()

    def _identity(self, validator: str, boot: str) -> list[str | int | None]:
        """Without a checksum a validator must vouch; and after a crash of the machine nothing can."""
        if self.item.promise:
            return [self.item.promise, self.item.size]
        here = BOOT.read_text().strip() if BOOT.exists() else ""
        return [self.item.url, self.item.size, validator if boot == here else None]

    def _compare(self, index: int, answer: httpx.Response) -> None:
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", answer.headers.get("content-range", ""))
        if found is None or int(found[1]) != self._begin(index) + self._received[index]:
            raise Changed(f"gives another part than asked: {answer.headers.get('content-range')!r}", self.generation)
        if found[3] != "*" and self.size is not None and int(found[3]) != self.size:
            raise Changed(f"has {int(found[3]):,} bytes, {self.size:,} were promised", self.generation)
        if not self.item.promise and validator_of(answer) != self._validator:
            raise Changed("it changed meanwhile", self.generation)

    def _begin(self, index: int) -> int:
        return 0 if index == 0 else self._ends[index - 1] or 0

    def _opened(self) -> list[int]:
        if not self._files:
            self._files = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in (self._data, self._got)]
        return self._files

    def _close(self) -> None:
        for number in self._files:
            os.close(number)
        self._files = []


def validator_of(answer: httpx.Response) -> str:
    """Give what names an answer's content: a strong ETag, else its date, else ''."""
    etag = str(answer.headers.get("etag", ""))
    return etag if etag and not etag.startswith("W/") else str(answer.headers.get("last-modified", ""))


def body_length(answer: httpx.Response) -> int | None:
    """Give the bytes of a whole answer, or None where it is packed or does not say."""
    text = answer.headers.get("content-length", "")
    is_packed = answer.headers.get("content-encoding", "identity") != "identity"
    return int(text) if text.isdigit() and not is_packed else None


def git_sha1(path: Path) -> str:
    """Give the name git gives to a file's content."""
    digest = hashlib.sha1(f"blob {path.stat().st_size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def part_bytes(size: int, connections: int, least: int) -> int:
    """Give the size of a file's parts."""
    return size if connections == 1 else max(least, -(-size // (PARTS_PER_CONNECTION * connections)))
