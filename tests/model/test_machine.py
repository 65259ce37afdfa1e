"""What the machine is said to be able to do."""

import logging
import os
import resource
import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from luthier.errors import RoomError, ToolError
from luthier.model import machine


def test_a_processor_without_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: frozenset({"avx2", "sse4_2"}))
    choice = machine.choose_dtype("cpu")
    assert (choice.value, choice.why) == ("float32", "this processor has no bfloat16 instructions")


def test_a_processor_with_bfloat16_says_by_which_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_cpu_flags", lambda: frozenset({"avx2", "avx512_bf16"}))
    choice = machine.choose_dtype("cpu")
    assert (choice.value, choice.why) == ("bfloat16", "avx512_bf16 found")


def test_too_little_disk_is_said_with_both_numbers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage(10, 10, 3_000_000_000))
    machine.check_disk(tmp_path / "not" / "there", 2_900_000_000, "it")
    with pytest.raises(RoomError) as caught:
        machine.check_disk(tmp_path / "not" / "there", 4_000_000_000, "the step 'model'")
    assert caught.value.what == "the step 'model' needs 4.0 GB of disk, 3.0 GB are free"
    assert caught.value.where == str(tmp_path / "not" / "there")
    assert "luthier remove" in caught.value.mend


def test_too_little_memory_is_said_with_the_callers_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 1_000_000_000)
    machine.check_memory(900_000_000, "it", "m")
    with pytest.raises(RoomError) as caught:
        machine.check_memory(2_000_000_000, "the step 'tune'", "take a smaller model")
    assert (caught.value.where, caught.value.mend) == ("this machine", "take a smaller model")


def test_a_machine_that_does_not_tell_its_memory_is_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: None)
    machine.check_memory(10**18, "it", "m")


@pytest.mark.parametrize(
    ("found", "why", "mend"),
    [
        ("", "it would be here if an Ascend driver is loaded", "set device=cpu or auto"),
        ("a driver is here (/dev/x)", "a driver is here (/dev/x), but torch", "install a torch built for it"),
    ],
)
def test_a_device_that_is_not_here_is_told_with_what_was_seen(
    monkeypatch: pytest.MonkeyPatch, found: str, why: str, mend: str
) -> None:
    row = machine.DEVICES["npu"]  # no torch of the registries has it
    monkeypatch.setitem(machine.DEVICES, "npu", machine.Device(lambda: found, row.about))
    machine.check_device("cpu")
    with pytest.raises(ToolError) as caught:
        machine.check_device("npu")
    assert caught.value.what.startswith(f"the device 'npu' cannot be used: {why}")
    assert caught.value.where == "key device"
    assert mend in caught.value.mend


def test_fewer_kernels_are_kept_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ONEDNN_PRIMITIVE_CACHE_CAPACITY", raising=False)
    monkeypatch.setenv("LRU_CACHE_CAPACITY", "7")
    machine.keep_few_kernels()
    assert os.environ.pop("ONEDNN_PRIMITIVE_CACHE_CAPACITY") == machine.KERNELS_KEPT
    assert os.environ["LRU_CACHE_CAPACITY"] == "7"


def test_of_torchao_errors_are_heard_and_warnings_are_not() -> None:
    machine.quiet_libraries()
    for name in ("torchao", "torch.utils._pytree"):
        assert not logging.getLogger(name).isEnabledFor(logging.WARNING)
        assert logging.getLogger(name).isEnabledFor(logging.ERROR)


def test_a_limit_of_addresses_bounds_what_is_free() -> None:
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    try:
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000, limits[1]))
        free = machine.free_memory_bytes()
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
    assert free is not None
    assert 200_000_000 < free <= 300_000_000
