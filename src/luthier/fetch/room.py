"""Room on the disk, looked at before the work that takes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

from luthier.errors import RoomError
from luthier.fetch.gguf_header import BYTES_PER_WEIGHT
from luthier.fetch.model_files import is_pickle
from luthier.fetch.spec import FetchSpec

MadeOf = Callable[[str, int], int]
"""Bytes that will be made of a downloaded file beside it, by its name and size."""


def check_room(place: Path, purpose: str, needed: int, made: int = 0) -> None:
    """Raise RoomError if so many more bytes, and those made of them beside them, would not fit on the disk."""
    free = shutil.disk_usage(place).free
    if free < needed + made:
        more = f" and what is made of it {made:,}" if made else ""
        raise RoomError(
            f"{purpose} takes {needed:,} more bytes{more}, {free:,} are free",
            where=str(place),
            mend="free some room (luthier list shows what can go, luthier remove ID), then run the same command again",
        )


def made_of(spec: FetchSpec) -> MadeOf:
    """Give what a fetch makes of each file: of a pickle a copy of its size, of a GGUF at least its weights.

    The download stays until all is made, so that a kill costs no byte of it. How wide a GGUF's weights are, its head
    says, which is looked at before they are read; here they count as float32, the widest.
    """

    def made(name: str, size: int) -> int:
        if name.endswith(".gguf"):
            return size * BYTES_PER_WEIGHT[spec.dtype] // BYTES_PER_WEIGHT["float32"]
        return size if spec.convert and is_pickle(name) else 0

    return made
