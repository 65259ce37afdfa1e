"""What a look at a source gives, before anything is fetched."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from luthier.artifact.order import Kind
from luthier.event import Tell

Bring = Callable[[Path, Path, Tell], dict[str, Any]]
"""`bring(out, work, tell) -> figures`: the heavy half of a source; loads what it needs itself."""


HashFile = Callable[[Path], str]
"""Gives the SHA-256 of a file, in hex, from memory where the file is as it was."""


@dataclass(frozen=True)
class Found:
    """What there is: enough to order it."""

    kind: Kind
    bring: Bring
    inputs: Mapping[str, str] = field(default_factory=dict)
    """Role -> `sha256:...` of what comes from outside."""
    choices: Mapping[str, str] = field(default_factory=dict)
