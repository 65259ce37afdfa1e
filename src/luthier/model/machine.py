"""What this machine can do, told without loading torch: device, number format, memory, disk."""

import logging
import os
import platform
import resource
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from luthier.errors import RoomError, ToolError


@dataclass(frozen=True)
class Choice:
    """A choice made for the user, and why."""

    value: str
    why: str


@dataclass(frozen=True)
class Device:
    """One row: how to tell that a device is here, and what it computes at full speed."""

    found: Callable[[], str]
    """Gives what was found, or '' if it is not here. Loads nothing."""
    about: str
    dtype: str = "bfloat16"


def _nvidia_or_rocm() -> str:
    if Path("/dev/nvidiactl").exists() and os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1"):
        return "an NVIDIA driver is here (/dev/nvidiactl)"
    return "a ROCm driver is here (/dev/kfd)" if Path("/dev/kfd").exists() else ""


def _intel() -> str:
    """An Intel GPU shows as a render node whose driver is xe (integrated ones use i915, which torch cannot use)."""
    for node in sorted(Path("/sys/class/drm").glob("renderD*/device/driver")):
        if node.resolve().name == "xe":
            return f"an Intel GPU is here ({node.parent.parent.name}, driver xe)"
    return ""


def _ascend() -> str:
    return "an Ascend driver is here (/dev/davinci_manager)" if Path("/dev/davinci_manager").exists() else ""


def _apple() -> str:
    is_apple = platform.system() == "Darwin" and platform.machine() == "arm64"
    return "this is an Apple chip" if is_apple else ""


KERNELS_KEPT = "128"
"""oneDNN and torch's bridge to it keep 1,024 kernels each unless told otherwise. Every pass of another length makes
some 20 to 60, its layers share them, and the next pass needs others: SmolLM2 held 0.84 GB more after 22 steps, for
nothing (docs/experiments.md)."""


def keep_few_kernels() -> None:
    """Bound what compiled kernels hold; heeded until the first matrix product of the process."""
    for name in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(name, KERNELS_KEPT)


QUIET = ("accelerate", "torchao", "torch.utils._pytree")
"""Loggers that warn of nothing a user can mend: torchao of kernels for other devices, and torch of torchao. PEFT and
transformers import torchao wherever it is installed."""


def quiet_libraries() -> None:
    """Let these loggers tell of errors only; before the libraries are imported, which warn at that."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)


DEVICES: dict[str, Device] = {
    "cuda": Device(_nvidia_or_rocm, "an NVIDIA driver (CUDA) or a ROCm driver is loaded"),
    "npu": Device(_ascend, "an Ascend driver is loaded"),
    "xpu": Device(_intel, "an Intel GPU with the driver xe is here"),
    "mps": Device(_apple, "it is a Mac with an Apple chip"),
}
"""In the order in which they are preferred, the processor last; torch calls ROCm `cuda` too."""


def choose_device() -> Choice:
    """Choose where tensors live: the first device of the table that is here, else `cpu`."""
    for name, device in DEVICES.items():
        why = device.found()
        if why:
            return Choice(name, why)
    return Choice("cpu", "no GPU driver found")


def check_device(device: str) -> None:
    """Raise ToolError if torch cannot use a device: torch is asked, for a device may be here and no driver show."""
    kind = device.partition(":")[0]
    if kind == "cpu":
        return
    import torch  # 2.5 s: only for who wants an accelerator

    module = getattr(torch, kind, None)
    if kind in DEVICES and module is not None and module.is_available():
        return
    row = DEVICES.get(kind)
    found = row.found() if row else ""
    if row is None:
        why = f"there is no such device; known: cpu, {', '.join(DEVICES)}"
    elif found:
        why = f"{found}, but torch {torch.__version__} is not built for it or does not reach it"
    else:
        why = f"it would be here if {row.about}"
    raise ToolError(
        f"the device {device!r} cannot be used: {why}",
        where="key device",
        mend=f"set device=cpu{', or install a torch built for it' if found else ' or auto'}",
    )


def choose_dtype(device: str) -> Choice:
    """Choose the format weights and activations are computed in: `bfloat16` where it is fast, else `float32`."""
    if device != "cpu":
        return Choice(DEVICES[device.partition(":")[0]].dtype, f"{device} computes it at full speed")
    found = _cpu_flags() & {"avx512_bf16", "amx_bf16", "bf16"}
    if found:
        return Choice("bfloat16", f"{sorted(found)[0]} found")
    return Choice("float32", "this processor has no bfloat16 instructions")


@cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    lines = (line.partition(":")[2] for line in text.splitlines() if line.startswith(("flags", "Features")))
    return frozenset(next(lines, "").split())


def free_memory_bytes() -> int | None:
    """Give the memory this process can still take, its limit and its control group's bound respected, or None where it
    is not told."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), None)
    bounds = [value for value in (free, _group_room(), _limit_room()) if value is not None]
    return min(bounds, default=None)


def _group_room() -> int | None:
    """What the control group (a container) still allows."""
    try:
        bound = Path("/sys/fs/cgroup/memory.max").read_text(encoding="utf-8").strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(bound) - int(used) if bound.isdigit() else None


def _limit_room() -> int | None:
    """What the limit of this process's addresses (`ulimit -v`) still allows."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    except OSError:
        return None
    return max(0, limit - pages * resource.getpagesize())


def check_disk(folder: Path, need_bytes: int, purpose: str) -> None:
    """Raise RoomError if the disk under a folder has not this much room."""
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < need_bytes:
        raise RoomError(
            f"{purpose} needs {gigabytes(need_bytes)} of disk, {gigabytes(free)} are free",
            where=str(folder.absolute()),
            mend="free some room (luthier list, luthier remove ID), or use another disk (--project FOLDER)",
        )


def check_memory(need_bytes: int, purpose: str, mend: str) -> None:
    """Raise RoomError if this machine has not this much memory free."""
    free = free_memory_bytes()
    if free is not None and free < need_bytes:
        raise RoomError(
            f"{purpose} needs about {gigabytes(need_bytes)} of memory, {gigabytes(free)} are free",
            where="this machine",
            mend=mend,
        )


def gigabytes(count: int) -> str:
    """Write a number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 5e7 else f"{count / 1e6:.1f} MB"
