"""Dealing rows and summing over processes; what is exact by hand is exact here."""

import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch import nn

from luthier.errors import ToolError
from luthier.learn.distributed import ALONE, Processes, backend_of, lost, seed_of

PROGRAM = """
import sys, torch
from pathlib import Path
from torch import nn
from luthier.learn.distributed import joined
rank = int(sys.argv[1])
with joined(rank, 2, "cpu", Path(sys.argv[2]).as_uri()) as processes:
    both, one, none = (nn.Parameter(torch.zeros(3)) for _ in range(3))
    both.grad = torch.full((3,), 1.0 + rank)
    if rank:
        one.grad = torch.ones(3)
    processes.sum_gradients([both, one, none])
    assert both.grad.tolist() == [3.0] * 3 and one.grad.tolist() == [1.0] * 3 and none.grad is None
    assert processes.sum([0.1, 10.0 * rank]) == [0.2, 10.0]
    assert processes.gather(5.0 + rank) == [5.0, 6.0]
    assert processes.any(rank == 1) and not processes.any(False)
    assert processes.first(lambda: {"from": rank}) == {"from": 0}
    print("agreed")
"""


def test_each_row_is_dealt_once_and_tokens_are_level() -> None:
    rows = ["a" * length for length in (9, 1, 1, 8, 2, 7, 3, 4, 5)]
    dealt = [Processes(rank, 3).deal(rows, lambda part: len(part[0])) for rank in range(3)]
    assert sorted(chain(*dealt)) == sorted(rows)
    # 40 tokens for three: Graham's bound for longest-first is 4/3 of the best, which is 14
    assert max(sum(map(len, part)) for part in dealt) <= 15


def test_alone_nothing_is_changed() -> None:
    parameter = nn.Parameter(torch.zeros(2))
    ALONE.sum_gradients([parameter])
    assert parameter.grad is None
    assert ALONE.deal([3, 1, 2], len) == [3, 1, 2]
    assert list(ALONE.even([[1], [2]], [0])) == [([1], True), ([2], True)]
    assert ALONE.first(lambda: 7) == 7
    assert not ALONE.any(False)


def test_two_processes_sum_what_each_has(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM]
    children = [
        subprocess.Popen([*command, str(rank), str(tmp_path / "meeting")], stdout=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    assert [child.communicate(timeout=60)[0] for child in children] == ["agreed\n"] * 2


def test_what_is_drawn_in_a_step_is_its_own_for_each_process() -> None:
    seeds = {seed_of(0, step, rank) for step in range(20) for rank in range(4)}
    assert len(seeds) == 80
    assert all(0 <= seed < 1 << 63 for seed in seeds)
    assert seed_of(5, 3, 1) == seed_of(5, 3, 1)


def test_a_device_without_a_way_to_talk_is_refused() -> None:
    assert backend_of("cpu") == "gloo"
    assert backend_of("cuda") == "cpu:gloo,cuda:nccl"
    with pytest.raises(ToolError, match="'mps'") as caught:
        backend_of("mps")
    assert caught.value.where == "key device"
    assert "device=cpu" in caught.value.mend


def test_a_lost_process_is_said_with_a_mend() -> None:
    error = lost(Processes(1, 4), RuntimeError("Connection closed by peer\nand more"))
    assert error.where == "process 2 of 4"
    assert "Connection closed by peer" in error.what
    assert "goes on from the newest checkpoint" in error.mend
