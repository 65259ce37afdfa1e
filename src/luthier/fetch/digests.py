"""SHA-256 of files that do not change from run to run: hashed once, remembered by what the system says of them."""

import json
import time
from pathlib import Path

from luthier.artifact import atomic

REMEMBERED = 20_000
SETTLED_SECONDS = 2.0
"""A file changed so shortly before it was hashed may change again without a trace: file systems have coarse clocks."""


class Digests:
    """Hashes files; a file of the same path, number, size and times (to the nanosecond) is not read again.

    The time of change (ctime) counts too: it cannot be set by hand, as the time of writing can.
    """

    def __init__(self, path: Path, *, is_read_only: bool = False) -> None:
        self._path = path
        self._is_read_only = is_read_only
        self._known: dict[str, list[object]] = {}
        self._is_changed = False
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return
        self._known = known if isinstance(known, dict) else {}

    def sha256(self, path: Path) -> str:
        """Give the SHA-256 of a file's bytes, in hex."""
        found = path.stat()
        state: list[object] = [found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns]
        key = str(path.absolute())
        known = self._known.get(key)
        if known is not None and known[:4] == state:
            return str(known[4])
        begun = time.time()
        digest = atomic.sha256(path)
        if begun - max(found.st_mtime, found.st_ctime) > SETTLED_SECONDS:
            self._known.pop(key, None)
            self._known[key] = [*state, digest]  # the newest last
            self._is_changed = True
        return digest

    def save(self) -> None:
        """Write what was learned."""
        if self._is_changed and not self._is_read_only:
            newest = dict(list(self._known.items())[-REMEMBERED:])
            atomic.write_text(self._path, json.dumps(newest))
            self._is_changed = False
