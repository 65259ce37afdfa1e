"""What a worker writes is what is read."""

from pathlib import Path

import numpy as np
import pytest

from luthier.artifact.tokens import Tokens
from luthier.errors import RoomError
from luthier.prepare.shards import NOTHING, Rendered, read_shard, write_shard


def tokens(*ids: int, weight: float | None = None) -> Tokens:
    weights = None if weight is None else np.full(len(ids), weight, np.float32)
    return Tokens(np.array(ids, np.int32), np.array([number % 2 == 0 for number in ids]), weights)


@pytest.mark.parametrize("weight", [None, 0.5])
def test_rows_come_back_one_by_one_and_as_one_block(tmp_path: Path, weight: float | None) -> None:
    rows = [
        Rendered("一\n".encode(), tokens(1, 2, 3), tokens(9)),
        Rendered(b"two\n", NOTHING),
        Rendered(b"three\n", tokens(4, 5, weight=weight), tokens(6, 7, 8)),
    ]
    write_shard(tmp_path / "0", rows)
    shard = read_shard(tmp_path / "0")
    assert [shard.line(number) for number in range(3)] == [row.line for row in rows]
    for side, kept in ((shard.chosen, [row.tokens for row in rows]), (shard.rejected, [row.rejected for row in rows])):
        for number, wanted in enumerate(kept):
            found = side.block(np.array([number]))
            assert found.ids.tolist() == wanted.ids.tolist()
            assert found.mask.tolist() == wanted.mask.tolist()
    block = shard.chosen.block(np.array([2, 0]))
    assert block.ids.tolist() == [4, 5, 1, 2, 3]
    assert (None if block.weight is None else block.weight.tolist()) == (weight and [0.5, 0.5, 1, 1, 1])
    assert shard.chosen.block(np.zeros(0, np.int64)).ids.tolist() == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_full_disk_is_told_as_such() -> None:
    with pytest.raises(RoomError, match="the disk is full") as caught:
        write_shard(Path("/dev/full"), [Rendered(b"one\n", tokens(1))])
    assert caught.value.where == "/dev/full"
    assert "free some room" in caught.value.mend


def test_a_batch_may_have_no_rows(tmp_path: Path) -> None:
    write_shard(tmp_path / "0", [])
    assert read_shard(tmp_path / "0").lines == b""
