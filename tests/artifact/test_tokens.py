"""Token ids and label masks come back row by row."""

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

from luthier.artifact.tokens import Tokens, read_tokens, write_tokens

ROW = st.lists(st.tuples(st.integers(0, 2**31 - 1), st.booleans()), max_size=6)


def tokens(row: list[tuple[int, bool]]) -> Tokens:
    ids, mask = zip(*row, strict=True) if row else ((), ())
    return Tokens(np.array(ids, np.int32), np.array(mask, np.bool_))


@given(st.lists(ROW, max_size=5))
def test_tokens_come_back_as_they_were_written(rows: list[list[tuple[int, bool]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_tokens(Path(folder), "dev", [tokens(row) for row in rows])
        found = read_tokens(Path(folder), "dev")
    assert [list(zip(row.ids.tolist(), row.mask.tolist(), strict=True)) for row in found] == rows
    assert all(row.ids.dtype == np.int32 and row.mask.dtype == np.bool_ for row in found)


def test_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    write_tokens(tmp_path, "train", [tokens([(5, False), (6, True)]), tokens([(7, True)])])
    with safe_open(tmp_path / "train.safetensors", framework="np") as file:
        arrays = {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118  no mapping: keys() only
    assert arrays == {"ids": [5, 6, 7], "mask": [0, 1, 1], "ends": [0, 2, 3]}


def test_the_same_tokens_give_the_same_bytes(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_tokens(tmp_path, split, [tokens([(5, False), (6, True)])])
    assert (tmp_path / "train.safetensors").read_bytes() == (tmp_path / "test.safetensors").read_bytes()


def test_the_first_token_never_counts_as_learned() -> None:
    assert tokens([(1, True), (2, True), (3, False), (4, True)]).supervised == 2
    assert tokens([]).supervised == 0
