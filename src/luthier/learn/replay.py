"""The choices that bear on bits: what a checkpoint notes of them, and how a run that goes on takes them over.

Whatever can be set is set as it was; what only the machine decides (versions, instructions of the processor) has to
be the same, or the run is refused: losses that merely look alike are no proof of anything.
"""

from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from luthier.errors import StoreError
from luthier.event import Chose, Tell, Warned
from luthier.learn.checkpoint import Checkpoint

VERSIONS = ("torch", "transformers", "peft")
"""Packages whose release bears on bits."""


def choices(device: str, dtype: str, processes: int, *, packed: bool, compiled: bool) -> dict[str, Any]:
    """Give all that bears on the bits of a run and stands not in its settings, as plain JSON."""
    return {
        "packed": packed,
        "compiled": compiled,
        "processes": processes,
        "dtype": dtype,
        "threads": torch.get_num_threads(),
        "kernels": _kernels(),
        "machine": machine(device),
    }


def machine(device: str) -> dict[str, str]:
    """Give what cannot be chosen: versions, and the instructions or the accelerator that are computed with."""
    found = {name: _version(name) for name in VERSIONS}
    found["instructions"] = torch.backends.cpu.get_cpu_capability()
    kind, _, number = device.partition(":")
    if kind == "cuda" and torch.cuda.is_available():
        found["accelerator"] = torch.cuda.get_device_name(int(number or 0))
        found["cuda"] = str(torch.version.cuda)
    return found


def check_origin(start: Checkpoint | None, model: str) -> None:
    """Raise StoreError for a checkpoint that another model's run left here: it may fit, and would teach nothing."""
    began = model if start is None else str(start.state.get("model", model))
    if start is not None and began != model:
        raise StoreError(
            f"the checkpoint {start.folder.name} is of a run on {began}, this one is on {model}",
            where=str(start.folder),
            mend="put it back where it was made, and begin anew here (--fresh)",
        )


def replay(start: Checkpoint | None, device: str, processes: int, tell: Tell, *, anyway: bool) -> None:
    """Take over from the checkpoint a run goes on from what can be set, and hold the machine against it.

    Raises StoreError where the machine is another in what bears on bits, unless told to go on `anyway`.
    """
    if start is None:
        return
    _check_machine(start, device, tell, anyway=anyway)
    state = start.state
    if int(state.get("processes", 1)) != processes:
        why = f"the checkpoint was made by {state.get('processes', 1)}: losses go on, equal but for the order of sums"
        tell(Chose("processes", str(processes), why))
        return
    if int(state["threads"]) != torch.get_num_threads():
        torch.set_num_threads(int(state["threads"]))
        tell(Chose("threads", str(state["threads"]), "the checkpoint was made with so many: sums keep their order"))
    kernels = state.get("kernels", {})
    if kernels and kernels != _kernels():
        torch.set_float32_matmul_precision(kernels["float32_matmul"])
        torch.backends.mkldnn.set_flags(kernels["mkldnn"], kernels["mkldnn_deterministic"])  # type: ignore[no-untyped-call]
        torch.use_deterministic_algorithms(kernels["deterministic"])
        tell(Chose("kernels", ", ".join(f"{name}={value}" for name, value in kernels.items()), "as the run began"))


def check_replayed(start: Checkpoint | None, found: Mapping[str, Any], tell: Tell, *, anyway: bool) -> None:
    """Raise StoreError if what a checkpoint says of packing or compiling could not be done here as it was."""
    if start is None:
        return
    for name in ("packed", "compiled"):
        began = bool(start.state.get(name, False))
        if began != found[name]:
            _refuse(start, f"began with {name}={began}, this machine computes {name}={found[name]}", tell, anyway)


def _check_machine(start: Checkpoint, device: str, tell: Tell, *, anyway: bool) -> None:
    began: Mapping[str, str] = start.state.get("machine", {})
    here = machine(device)
    differ = [
        f"{name} {began.get(name, 'unknown')}, here {here.get(name, 'none')}"
        for name in sorted({*began, *here})
        if began.get(name) != here.get(name)
    ]
    if differ:
        _refuse(start, f"was made with {'; '.join(differ)}", tell, anyway)


def _refuse(start: Checkpoint, why: str, tell: Tell, anyway: bool) -> None:
    if anyway:
        tell(Warned(f"the checkpoint {start.folder.name} {why}", "losses go on, but not bit for bit"))
        return
    raise StoreError(
        f"the checkpoint {start.folder.name} {why}: it cannot go on bit for bit",
        where=str(start.folder),
        mend="go on where it was made, begin anew (--fresh), or go on with other bits (--anyway)",
    )


def _kernels() -> dict[str, Any]:
    return {
        "float32_matmul": torch.get_float32_matmul_precision(),
        "mkldnn": bool(torch.backends.mkldnn.enabled),
        "mkldnn_deterministic": bool(torch.backends.mkldnn.deterministic),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
