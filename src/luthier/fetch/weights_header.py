"""The header of a safetensors file, read strictly before anything opens the file: nothing in it is believed.

The form: 8 bytes of little-endian length, that many bytes of JSON, the numbers of all tensors without gap or overlap.
Source: github.com/huggingface/safetensors, README, section Format.
"""

import json
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NoReturn

from luthier.errors import ModelError

LARGEST_HEADER_BYTES = 100_000_000
LENGTH_BYTES = 8
BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("I16", "U16", "F16", "BF16"), 16),
    **dict.fromkeys(("I32", "U32", "F32"), 32),
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
}
"""Bits of one number, by the name of its format."""
MEND = "download it again; if it stays so, take another copy of the model"


@dataclass(frozen=True)
class Stored:
    """One tensor of a file: `begin` and `end` count bytes from the end of the header."""

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_tensors(path: Path) -> dict[str, Stored]:
    """Give the tensors of a safetensors file, by name; no number is read.

    Raises ModelError if the length of the header, its JSON, a name, a format, a shape, a range or the size of the
    file is not exactly what the form asks for.
    """
    file_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(LENGTH_BYTES)
        if len(start) < LENGTH_BYTES:
            _refuse(path, f"it has {file_bytes} bytes, fewer than the length of a header takes")
        (header_bytes,) = struct.unpack("<Q", start)
        if header_bytes > LARGEST_HEADER_BYTES or LENGTH_BYTES + header_bytes > file_bytes:
            _refuse(path, f"its header is said to have {header_bytes:,} bytes, the file has {file_bytes:,}")
        header = _parse(path, file.read(header_bytes))
    header.pop("__metadata__", None)
    tensors = {name: _stored(path, name, facts) for name, facts in header.items()}
    _check_ranges(path, tensors, file_bytes - LENGTH_BYTES - header_bytes)
    return tensors


def read_index(path: Path) -> dict[str, str]:
    """Give tensor -> file of a list of shards (`*.index.json`).

    Raises ModelError if it is none, or names a file that would not lie in the same folder.
    """
    try:
        shards = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
    except (ValueError, KeyError, TypeError, RecursionError):
        shards = None
    if not isinstance(shards, dict) or not all(isinstance(shard, str) for shard in shards.values()):
        raise ModelError("not a list of shards", where=str(path), mend="download it again")
    for shard in sorted(set(shards.values())):
        if not _is_plain(shard):
            raise ModelError(
                f"it names {shard!r}, which is no file of its own folder",
                where=str(path),
                mend="do not use this model: its list of shards reaches for other files",
            )
    return shards


def check_index(path: Path, held: Mapping[str, Collection[str]]) -> None:
    """Compare a list of shards with the tensors each file really holds (file -> names).

    Raises ModelError for files that are missing, or that do not hold the tensors the list says.
    """
    shards = read_index(path)
    missing = sorted({shard for tensor, shard in shards.items() if tensor not in held.get(shard, ())})
    if missing:
        raise ModelError(
            f"{len(missing)} files of weights are missing or not whole: {', '.join(missing[:3])}",
            where=str(path),
            mend="put the missing files beside it, or download the model again",
        )


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and len(path.parts) == 1 and name not in (".", "..") and not set(name) & {"\\", ":", "\0"}


def _parse(path: Path, text: bytes) -> dict[str, Any]:
    """Read JSON as the form allows it: it begins with a brace, no key twice, no NaN, no half characters."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) != len(pairs):
            raise ValueError("a name stands twice")
        return fields

    def no_constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is no JSON")

    try:
        if not text.startswith(b"{"):
            raise ValueError("it does not begin with a brace")
        header = json.loads(text.decode("utf-8"), object_pairs_hook=unique, parse_constant=no_constant)
        "".join(header).encode()  # half of a surrogate pair may stand in JSON, not in a name
    except (ValueError, RecursionError) as error:  # the errors of JSON and of UTF-8 are ValueErrors
        _refuse(path, f"its header is not JSON: {str(error) or type(error).__name__}")
    if not isinstance(header, dict):
        _refuse(path, "its header is not a list of tensors")
    metadata = header.get("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "its __metadata__ is not text by name")
    return header


def _stored(path: Path, name: str, facts: Any) -> Stored:
    if not isinstance(facts, dict) or set(facts) != {"dtype", "shape", "data_offsets"}:
        _refuse(path, "should have dtype, shape and data_offsets", name)
    dtype, shape, offsets = facts["dtype"], facts["shape"], facts["data_offsets"]
    if not isinstance(dtype, str) or dtype not in BITS:
        _refuse(path, f"dtype is {dtype!r:.40}, which no format of numbers is called", name)
    if not _are_sizes(shape):
        _refuse(path, f"shape is {shape!r:.40}, not a list of sizes", name)
    if not _are_sizes(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(path, f"data_offsets is {offsets!r:.40}, not a begin and an end", name)
    begin, end = offsets
    if _bits(shape, BITS[dtype], limit=8 * (end - begin)) != 8 * (end - begin):
        _refuse(path, f"{end - begin:,} bytes are not what {dtype} of shape {shape!r:.40} takes", name)
    return Stored(dtype, tuple(shape), begin, end)


def _are_sizes(value: Any) -> bool:
    """Whether it is a list of whole numbers from 0 on; `type`, because true is an int of Python, not of JSON."""
    return isinstance(value, list) and all(type(size) is int and 0 <= size < 2**63 for size in value)


def _bits(shape: list[int], bits_each: int, limit: int) -> int:
    """Multiply, but not on and on: a long list of large sizes would take hours."""
    if 0 in shape:
        return 0
    product = bits_each
    for size in shape:
        product *= size
        if product > limit:
            break
    return product


def _check_ranges(path: Path, tensors: Mapping[str, Stored], data_bytes: int) -> None:
    reached = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (item[1].begin, item[1].end)):
        if tensor.begin != reached:
            state = "overlaps the tensor before it" if tensor.begin < reached else "leaves a hole before it"
            _refuse(path, f"its range {tensor.begin}-{tensor.end} {state}", name)
        reached = tensor.end
    if reached != data_bytes:
        _refuse(path, f"its tensors take {reached:,} bytes, the file has {data_bytes:,} for them")


def _refuse(path: Path, why: str, tensor: str | None = None) -> NoReturn:
    """Raise the error; a tensor's name may be of any length, so no more than its beginning is shown."""
    raise ModelError(
        f"{path.name} is damaged or cut short: {why}",
        where=str(path) if tensor is None else f"{path}, tensor {tensor!r:.80}",
        mend=MEND,
    )
