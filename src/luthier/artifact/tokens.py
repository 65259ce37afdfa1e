"""Token ids and what is learned of them, one safetensors file a split: what is looked at is what is trained on.

A file holds `ends` (int64, N + 1: where each row begins and ends), `ids` (int32), `mask` (uint8) and, where some
token counts otherwise than 1, `weight` (float32), each of the length of all rows together. It is written and read
row by row: a million rows never lie in memory at once. The form is safetensors' own
(https://github.com/huggingface/safetensors#format).
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
PARTS: dict[str, np.dtype[Any]] = {
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "F32": np.dtype("<f4"),
    "U8": np.dtype("u1"),
}


@dataclass(frozen=True)
class Tokens:
    """One rendered example: ids of shape (T,), for each whether it is learned, (T,), and how much it counts, (T,)."""

    ids: Ints
    mask: Bools
    weight: Floats | None = None
    """None: every learned token counts 1."""

    @property
    def supervised(self) -> int:
        """How many of its tokens are learned (the first token can be predicted from nothing: it never counts)."""
        return int(self.mask[1:].sum())


class TokenRows(Sequence[Tokens]):
    """The rows of one file, mapped into memory: only those looked at are read."""

    def __init__(self, path: Path) -> None:
        arrays = map_arrays(path)
        self.ends: npt.NDArray[np.int64] = np.asarray(arrays["ends"])
        self._ids, self._mask, self._weight = arrays["ids"], arrays["mask"], arrays.get("weight")

    def __len__(self) -> int:
        return len(self.ends) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """How many tokens each row has, shape (N,)."""
        return np.diff(self.ends)

    @overload
    def __getitem__(self, index: int) -> Tokens: ...
    @overload
    def __getitem__(self, index: slice) -> list[Tokens]: ...
    def __getitem__(self, index: int | slice) -> Tokens | list[Tokens]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(index)
        begin, end = self.ends[place : place + 2]
        weight = None if self._weight is None else self._weight[begin:end]
        return Tokens(self._ids[begin:end], self._mask[begin:end].view(np.bool_), weight)


def read_tokens(folder: Path, split: str, part: str = "") -> TokenRows:
    """Open a split's tokens; `part` is "rejected" for the worse answers of preference pairs."""
    return TokenRows(folder / _name(split, part))


def has_tokens(folder: Path, split: str, part: str = "") -> bool:
    """Whether a split has such tokens."""
    return (folder / _name(split, part)).exists()


def write_tokens(folder: Path, split: str, rows: Sequence[Tokens], part: str = "") -> None:
    """Write a split's tokens beside its examples, in the same order."""
    has_weight = any(row.weight is not None for row in rows)
    write_rows(folder / _name(split, part), [len(row.ids) for row in rows], rows, has_weight=has_weight)


def write_rows(path: Path, lengths: Sequence[int], rows: Iterable[Tokens], *, has_weight: bool) -> None:
    """Write rows as they come; `lengths` are their lengths in tokens, known beforehand."""
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(np.asarray(lengths, np.int64), out=ends[1:])
    total = int(ends[-1])
    shapes = {"ends": ("I64", len(ends)), "ids": ("I32", total)}
    shapes |= {"weight": ("F32", total)} if has_weight else {}
    shapes |= {"mask": ("U8", total)}
    head, places = _header(shapes)
    with path.open("wb") as file:
        file.write(head)
        file.write(ends.tobytes())
        file.truncate(places["mask"] + total)
    files = {name: path.open("r+b") for name in shapes if name != "ends"}
    try:
        for name, open_file in files.items():
            open_file.seek(places[name])
        for row in rows:
            files["ids"].write(np.ascontiguousarray(row.ids, "<i4").tobytes())
            files["mask"].write(np.ascontiguousarray(row.mask, "u1").tobytes())
            if has_weight:
                weight = np.ones(len(row.ids), "<f4") if row.weight is None else row.weight
                files["weight"].write(np.ascontiguousarray(weight, "<f4").tobytes())
        if files["ids"].tell() != places["ids"] + 4 * total:
            raise ValueError(f"rows do not have the {total} tokens their lengths say")
    finally:
        for open_file in files.values():
            open_file.close()


def _header(shapes: dict[str, tuple[str, int]]) -> tuple[bytes, dict[str, int]]:
    """Give the head of a safetensors file, and the place in it where each array begins."""
    entries: dict[str, Any] = {}
    begin = 0
    for name, (kind, count) in shapes.items():
        end = begin + count * PARTS[kind].itemsize
        entries[name] = {"dtype": kind, "shape": [count], "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    places = {name: 8 + len(text) + int(entry["data_offsets"][0]) for name, entry in entries.items()}
    return len(text).to_bytes(8, "little") + text, places


def map_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Map the flat arrays of a safetensors file into memory."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        kind, (begin, end) = PARTS[entry["dtype"]], entry["data_offsets"]
        count = (end - begin) // kind.itemsize
        # an empty part cannot be mapped; copy-on-write, for torch warns of arrays it could not write to
        arrays[name] = (
            np.asarray(np.memmap(path, kind, "c", 8 + size + begin, (count,))) if count else np.zeros(0, kind)
        )
    return arrays


def _name(split: str, part: str) -> str:
    return f"{split}.{part}.safetensors" if part else f"{split}.safetensors"
