"""What models said, kept by (model, task, row): a kill loses one batch at most, and nothing is asked twice.

.luthier/answers/MODEL/TASK.jsonl, a line a batch: {row's key: what was found out}. TASK is a hash of how is asked
(kind, sampling, machine's choices), the row's key one of what is asked: a changed metric, filter or limit asks nothing
anew.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from luthier.artifact import atomic


def key_of(value: Any) -> str:
    """Give a hash of plain JSON data."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class Kept:
    """The kept answers of one model to one task."""

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        """Read what is there; a line that a kill left half written counts for nothing.

        `check` raises before anything is kept, if whoever was asked is no longer what it was.
        """
        self.path = path
        self._check = check
        self._found: dict[str, Any] = {}
        self._is_torn = False
        if not path.exists():
            return
        text = path.read_bytes()
        self._is_torn = bool(text) and not text.endswith(b"\n")
        for line in text.split(b"\n"):
            try:
                self._found.update(json.loads(line))
            except ValueError:  # torn, or the empty end
                continue

    def __contains__(self, key: str) -> bool:
        return key in self._found

    def __getitem__(self, key: str) -> Any:
        return self._found[key]

    def add(self, found: Mapping[str, Any]) -> None:
        """Keep a batch; it is on disk when this returns. Raises what the check raises."""
        self._check()
        line = json.dumps(found, ensure_ascii=False)
        atomic.append_line(self.path, f"\n{line}" if self._is_torn else line)
        self._is_torn = False
        self._found.update(found)
