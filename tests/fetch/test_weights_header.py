"""Headers of safetensors files: what the library writes is read alike, what is bent is refused by name."""

import json
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from luthier.errors import ModelError
from luthier.fetch.weights_header import check_index, read_index, read_tensors

GOOD: dict[str, Any] = {
    "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
    "b": {"dtype": "I8", "shape": [], "data_offsets": [24, 25]},
}


def write(path: Path, header: object, data_bytes: int = 25, length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + bytes(data_bytes))
    return path


def opens_elsewhere(path: Path) -> bool:
    """Whether the safetensors library itself opens the file."""
    try:
        with safe_open(path, framework="numpy") as file:
            return bool(file.keys() is not None)
    except SafetensorError:
        return False


def test_what_the_library_writes_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    tensors = {
        "float": torch.zeros(3, 4),
        "half": torch.zeros(5, dtype=torch.bfloat16),
        "scalar": torch.tensor(1, dtype=torch.int64),
        "none": torch.zeros(0, 7),
        "mask": torch.ones(2, dtype=torch.bool),
    }
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, metadata={"format": "pt"})
    read = read_tensors(path)
    with safe_open(path, framework="pt") as file:
        assert set(read) == set(file.keys())
        for name, stored in read.items():
            assert list(stored.shape) == file.get_slice(name).get_shape()
            assert stored.dtype == file.get_slice(name).get_dtype()
            assert stored.end - stored.begin == tensors[name].nbytes


BENT: list[tuple[str, object, int, str]] = [
    ("not JSON", b"{'a': 1}", 0, "not JSON"),
    ("a list", b"[]", 0, "begin with a brace"),
    ("a blank first", b" {}", 0, "begin with a brace"),
    ("not UTF-8", b'{"\xff": 1}', 0, "not JSON"),
    ("NaN", b'{"a": {"dtype": "F32", "shape": [NaN], "data_offsets": [0, 0]}}', 0, "NaN is no JSON"),
    ("nested without end", b'{"a":' + b"[" * 200_000, 0, "not JSON"),
    ("a number without end", b'{"a":' + b"9" * 10_000 + b"}", 0, "not JSON"),
    ("a name twice", b'{"a": 1, "a": 2}', 0, "a name stands twice"),
    ("half a character", b'{"\\ud800": 1}', 0, "not JSON"),
    ("metadata of numbers", {"__metadata__": {"format": 1}}, 0, "__metadata__"),
    ("no tensor", {"a": 3}, 0, "should have dtype"),
    ("a key too many", {"a": GOOD["b"] | {"code": "x"}}, 1, "should have dtype"),
    ("an unknown format", {"a": GOOD["b"] | {"dtype": "F3"}}, 1, "dtype is 'F3'"),
    ("a list for a format", {"a": GOOD["b"] | {"dtype": ["F32"]}}, 1, r"dtype is \['F32'\]"),
    ("a size below zero", {"a": GOOD["a"] | {"shape": [-2, -3]}}, 24, "not a list of sizes"),
    ("true for a size", {"a": GOOD["a"] | {"shape": [True, 6]}}, 24, "not a list of sizes"),
    ("half a size", {"a": GOOD["a"] | {"shape": [2.0, 3]}}, 24, "not a list of sizes"),
    ("a shape too large", {"a": GOOD["a"] | {"shape": [2**62] * 1000}}, 24, "are not what F32 of shape"),
    ("a shape too small", {"a": GOOD["a"] | {"shape": [1]}}, 24, "24 bytes are not what F32 of shape"),
    ("an end before its begin", {"a": GOOD["a"] | {"data_offsets": [24, 0]}}, 24, "not a begin and an end"),
    ("one offset", {"a": GOOD["a"] | {"data_offsets": [24]}}, 24, "not a begin and an end"),
    ("an overlap", {**GOOD, "c": {"dtype": "I8", "shape": [2], "data_offsets": [23, 25]}}, 25, "overlaps"),
    ("the same range twice", {**GOOD, "c": GOOD["b"]}, 25, "overlaps"),
    ("a hole", {"a": GOOD["a"], "b": GOOD["b"] | {"data_offsets": [25, 26]}}, 26, "leaves a hole"),
    ("numbers cut short", GOOD, 24, "take 25 bytes, the file has 24"),
    ("bytes after the end", GOOD, 26, "take 25 bytes, the file has 26"),
]


@pytest.mark.parametrize(("header", "data_bytes", "what"), [row[1:] for row in BENT], ids=[row[0] for row in BENT])
def test_a_bent_header_is_refused_with_its_reason(header: object, data_bytes: int, what: str, tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", header, data_bytes)
    with pytest.raises(ModelError, match=what) as caught:
        read_tensors(path)
    assert caught.value.where.startswith(str(path))
    assert "download it again" in caught.value.mend


def test_the_tensor_at_fault_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", {"lm_head.weight": {}})
    with pytest.raises(ModelError) as caught:
        read_tensors(path)
    assert caught.value.where == f"{path}, tensor 'lm_head.weight'"


@pytest.mark.parametrize("length", [0, 1, 10**8 + 1, 2**63, 2**64 - 1])
def test_an_absurd_length_of_the_header_is_refused_before_it_is_read(length: int, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="damaged or cut short"):
        read_tensors(write(tmp_path / "model.safetensors", GOOD, length=length))


@pytest.mark.parametrize("content", [b"", b"\0" * 7])
def test_a_file_too_short_for_any_header_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="fewer than the length"):
        read_tensors(path)


JUNK = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
FACTS = some.fixed_dictionaries(
    {"dtype": some.sampled_from(["F32", "I8", "F4", "BF16", "X"]) | JUNK},
    optional={
        "shape": some.lists(some.integers(-1, 9), max_size=3) | JUNK,
        "data_offsets": some.lists(some.integers(-1, 64), min_size=2, max_size=2) | JUNK,
    },
)
HEADERS = some.dictionaries(some.text(max_size=8) | some.just("__metadata__"), FACTS | JUNK, max_size=4) | JUNK
FAST = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def gives_tensors_or_a_clear_error(path: Path) -> bool:
    try:
        read_tensors(path)
        return True
    except ModelError as error:
        told = error
    assert told.where.startswith(str(path))
    assert told.mend
    return False


@FAST
@given(header=HEADERS, data_bytes=some.integers(0, 64))
def test_whatever_we_take_the_library_takes_too(header: object, data_bytes: int, tmp_path: Path) -> None:
    path = write(tmp_path / "junk.safetensors", header, data_bytes)
    if gives_tensors_or_a_clear_error(path):
        assert opens_elsewhere(path)


@FAST
@given(cut=some.integers(0, 200), at=some.integers(0, 199), byte=some.integers(0, 255))
def test_a_changed_byte_or_a_cut_gives_tensors_or_a_clear_error(cut: int, at: int, byte: int, tmp_path: Path) -> None:
    path = write(tmp_path / "bent.safetensors", GOOD)
    whole = bytearray(path.read_bytes())
    whole[at % len(whole)] = byte
    path.write_bytes(whole[: max(cut, 0)] if cut % 2 else whole)
    if gives_tensors_or_a_clear_error(path):
        assert opens_elsewhere(path)


@FAST
@given(content=some.binary(max_size=200))
def test_random_bytes_give_a_clear_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "random.safetensors"
    path.write_bytes(content)
    if gives_tensors_or_a_clear_error(path):
        assert opens_elsewhere(path)


REACHING = [
    "../../etc/passwd",
    "/etc/passwd",
    "..",
    ".",
    "",
    "sub/model.safetensors",
    "..\\model.safetensors",
    "C:model",
]


@pytest.mark.parametrize("shard", REACHING)
def test_an_index_that_reaches_for_other_files_is_refused(shard: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": shard}}))
    with pytest.raises(ModelError, match="no file of its own folder") as caught:
        read_index(path)
    assert caught.value.where == str(path)
    assert "do not use this model" in caught.value.mend


@pytest.mark.parametrize("text", ["[]", "{}", '{"weight_map": []}', '{"weight_map": {"a": 1}}', "{", "[" * 100_000])
def test_an_index_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    with pytest.raises(ModelError, match="not a list of shards") as caught:
        read_index(path)
    assert (caught.value.where, caught.value.mend) == (str(path), "download it again")


def test_a_shard_that_lacks_a_tensor_of_the_index_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}))
    check_index(path, {"one.safetensors": ["a"], "two.safetensors": ["b", "c"]})
    with pytest.raises(ModelError, match=r"1 files of weights are missing or not whole: two\.safetensors") as caught:
        check_index(path, {"one.safetensors": ["a", "b"]})
    assert caught.value.where == str(path)
    assert "missing files" in caught.value.mend
