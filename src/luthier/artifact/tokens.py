"""Token ids and label masks of one split, in one safetensors file: what is looked at is what is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Tokens:
    """One rendered example: ids of shape (T,), and for each whether it is learned, shape (T,)."""

    ids: Ints
    mask: Bools

    @property
    def supervised(self) -> int:
        """How many of its tokens are learned (the first token can be predicted from nothing: it never counts)."""
        return int(self.mask[1:].sum())


def write_tokens(folder: Path, split: str, rows: Sequence[Tokens]) -> None:
    """Write a split's tokens beside its examples, in the same order."""
    ends = np.cumsum([0, *(len(row.ids) for row in rows)], dtype=np.int64)
    ids = np.concatenate([row.ids for row in rows]) if rows else np.zeros(0, np.int32)
    mask = np.concatenate([row.mask for row in rows]) if rows else np.zeros(0, np.bool_)
    save_file(
        {"ids": ids.astype(np.int32), "mask": mask.astype(np.uint8), "ends": ends}, folder / f"{split}.safetensors"
    )


def read_tokens(folder: Path, split: str) -> list[Tokens]:
    """Read a split's tokens."""
    arrays = load_file(folder / f"{split}.safetensors")
    ends = arrays["ends"]
    mask = arrays["mask"].astype(np.bool_)
    return [Tokens(arrays["ids"][begin:end], mask[begin:end]) for begin, end in pairwise(ends)]
