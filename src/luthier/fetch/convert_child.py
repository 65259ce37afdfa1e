"""Runs alone, as a script of a process of its own: one pickled file of weights in, safetensors out.

It imports nothing of Luthier and is given no environment. Before the pickle is touched, the network is cut off, memory
and file sizes are limited, and an audit hook forbids sockets, other programs and changes outside the output folder.
torch.load(weights_only=True) then reads nothing but tensors. The last line on stdout is the answer, as JSON.
"""

import ctypes
import json
import os
import re
import resource
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

NEW_USER, NEW_NETWORK = 0x10000000, 0x40000000  # linux/sched.h: CLONE_NEWUSER, CLONE_NEWNET
SLACK_BYTES = 2**30
"""For threads' stacks, the list of names and whatever the libraries map on first use."""
LARGEST_LIST_BYTES = 100_000_000
SHOWN_CHARACTERS = 500
FORBIDDEN = (
    *("socket.", "subprocess.", "ctypes.dlopen", "pty.", "os.system", "os.exec", "os.posix_spawn", "os.spawn"),
    *("os.fork", "os.kill", "os.remove", "os.rename", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.chown"),
    *("os.truncate", "shutil.", "urllib.", "http.", "ftplib.", "smtplib.", "webbrowser."),
)
"""Beginnings of the names of Python's audit events. Source: docs.python.org, Audit events table."""
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


class Refusal(Exception):  # noqa: N818 (a word of its own protocol: kind and detail go to the parent)
    """Why the file is not converted: a kind the parent knows, and the detail."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def main(job: Mapping[str, Any]) -> dict[str, Any]:
    """Convert `job["source"]` into files `OUT/STEM-K.safetensors` of at most `shard_bytes`. Gives the answer."""
    source, out = Path(job["source"]), Path(job["out"])
    network = _cut_off_network()  # first: a process with threads cannot leave its user namespace
    import torch

    torch.set_num_threads(1)
    limit = _limit(source.stat().st_size, job["shard_bytes"])
    _forbid(out)
    guards = {"network": network, "memory_limit_bytes": limit}
    try:
        tensors = _load(torch, source)
        kept, tied = _without_copies(tensors, job["droppable"], source.stat().st_size)
        files = _write(torch, kept, out, job["stem"], job["shard_bytes"])
    except Refusal as refusal:
        return {"refused": refusal.kind, "detail": refusal.detail, **guards}
    except (MemoryError, RuntimeError) as error:  # torch's allocator raises RuntimeError
        kind = "memory" if isinstance(error, MemoryError) or "allocate memory" in str(error) else "damaged"
        return {"refused": kind, "detail": _first_line(error), **guards}
    return {"files": files, "tied": tied, **guards}


def _cut_off_network() -> str:
    """Move this process into a network namespace with nothing in it. Gives how the network is cut off."""
    unshare = getattr(ctypes.CDLL(None, use_errno=True), "unshare", None)
    if unshare is None:
        return "audit hook"
    if unshare(NEW_NETWORK) == 0:
        return "namespace"
    user, group = os.getuid(), os.getgid()
    if unshare(NEW_USER | NEW_NETWORK) != 0:
        return "audit hook"
    # without a mapping, files could not be created: the new namespace would know no owner for them
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path("/proc/self", name).write_text(text, encoding="ascii")
    return "namespace"


def _limit(source_bytes: int, shard_bytes: int) -> int | None:
    """Bound memory, the size of a file, and core dumps. Gives the bound of memory, None where it cannot be set."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    largest_file = 2 * source_bytes + SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
    try:
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    except OSError:  # no Linux
        return None
    # the source mapped, or read if it is of the old form; copies of shared tensors; the result, mapped to compare
    limit = used + 2 * source_bytes + 2 * min(shard_bytes, source_bytes) + SLACK_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    return limit


def _forbid(out: Path) -> None:
    inside = str(out.resolve()) + os.sep

    def refuse(event: str, arguments: tuple[Any, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"{event} is forbidden here")
        if event == "open" and arguments[2] & WRITING and not str(arguments[0]).startswith(inside):
            raise PermissionError(f"writing {arguments[0]} is forbidden here")

    sys.addaudithook(refuse)


def _load(torch: Any, source: Path) -> dict[str, Any]:
    """Read the tensors. A file in the form of torch 1.6 and later is mapped, an older one read into memory."""
    is_zip = zipfile.is_zipfile(source)
    if is_zip:
        _check_zip(source)
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True, mmap=is_zip)
    except (MemoryError, PermissionError):
        raise
    except Exception as error:  # bytes of strangers: torch and pickle raise whatever they stumble on
        if "allocate memory" in str(error):
            raise
        raise _explain(error) from None
    if not isinstance(loaded, dict) or not loaded:
        raise Refusal("content", f"it holds {type(loaded).__name__}, not weights by name")
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise Refusal("content", f"{name!r:.60} is {type(tensor).__name__}, not a tensor")
        if tensor.layout is not torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
            raise Refusal("content", f"{name!r:.60} is a {tensor.dtype} tensor of the layout {tensor.layout}")
    return {name: tensor.detach() for name, tensor in loaded.items()}


def _check_zip(source: Path) -> None:
    """Raise Refusal for what torch would not see: compressed records cannot be mapped."""
    try:
        entries = zipfile.ZipFile(source).infolist()
    except (zipfile.BadZipFile, ValueError, OSError) as error:
        raise Refusal("damaged", _first_line(error)) from None
    if any("/code/" in entry.filename for entry in entries):
        raise Refusal("code", "a program (TorchScript)")
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED:
            raise Refusal("damaged", f"its record {entry.filename!r:.60} is compressed, which torch never does")
        if entry.filename.endswith("data.pkl") and entry.file_size > LARGEST_LIST_BYTES:
            raise Refusal("damaged", f"its list of tensors has {entry.file_size:,} bytes")


def _explain(error: Exception) -> Refusal:
    """Say what the pickle asked for, without torch's advice to open it all the same."""
    text = str(error)
    asked = re.search(r"GLOBAL (\S+)", text)
    if asked:
        return Refusal("code", asked[1])
    if isinstance(error, EOFError):
        return Refusal("damaged", "it ends too early")
    if "Weights only load failed" not in text:
        return Refusal("damaged", _first_line(error))
    said = [line.strip() for line in text.splitlines() if line.strip() and "documentation" not in line]
    return Refusal("damaged", _shown(said[-1]))


def _first_line(error: Exception) -> str:
    return _shown((str(error).strip() or type(error).__name__).partition("\n")[0])


def _shown(text: str) -> str:
    """Give the text, or as many whole words of it as are to be read."""
    return textwrap.shorten(text, SHOWN_CHARACTERS, placeholder=" ...")


def _without_copies(
    tensors: Mapping[str, Any], droppable: list[str], source_bytes: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Leave out tensors that are the same memory as another and that the model ties to it when it is loaded.

    Gives what is kept, and dropped name -> the name it is a copy of. Tensors that share memory otherwise are kept and
    become copies: without the tie, the model would miss them.
    """
    groups: dict[tuple[Any, ...], list[str]] = {}
    for name, tensor in tensors.items():
        view = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride()) if tensor.numel() else (name,)
        groups.setdefault(view, []).append(name)
    tied: dict[str, str] = {}
    for names in groups.values():
        stays = next((name for name in names if name not in droppable), names[0])
        tied.update({name: stays for name in names if name != stays and name in droppable})
    kept = {name: tensor for name, tensor in tensors.items() if name not in tied}
    if sum(tensor.nbytes for tensor in kept.values()) > 2 * source_bytes:
        raise Refusal("damaged", "its tensors are more than twice as large as the file")
    return kept, tied


def _write(torch: Any, tensors: dict[str, Any], out: Path, stem: str, shard_bytes: int) -> list[dict[str, Any]]:
    from safetensors.torch import save_file

    files = []
    for number, names in enumerate(_shards(tensors, shard_bytes)):
        path = out / f"{stem}-{number}.safetensors"
        save_file(_apart(tensors, names), path, metadata={"format": "pt"})
        _compare(torch, path, {name: tensors[name] for name in names})
        files.append({"name": path.name, "bytes": {name: tensors[name].nbytes for name in names}})
    return files


def _shards(tensors: Mapping[str, Any], shard_bytes: int) -> list[list[str]]:
    """Names in the file's order, as many as fit into each shard."""
    shards: list[list[str]] = [[]]
    filled = 0
    for name, tensor in tensors.items():
        if shards[-1] and filled + tensor.nbytes > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(name)
        filled += tensor.nbytes
    return shards


def _apart(tensors: Mapping[str, Any], names: list[str]) -> dict[str, Any]:
    """Each tensor with its numbers in a row, in memory that no other tensor of the shard uses."""
    used: set[int] = set()
    apart = {}
    for name in names:
        tensor = tensors[name].contiguous()
        place = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if place in used else tensor
        used.add(place)
    return apart


def _compare(torch: Any, path: Path, tensors: Mapping[str, Any]) -> None:
    """Raise Refusal unless the written file gives back every tensor bit for bit (a NaN is equal to itself in bits)."""
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        if set(file.keys()) != set(tensors):
            raise Refusal("differs", f"{len(file.keys())} tensors for {len(tensors)}")
        for name, tensor in tensors.items():
            written = file.get_tensor(name)
            is_same = written.dtype == tensor.dtype and written.shape == tensor.shape
            if not is_same or not torch.equal(_bytes(torch, written), _bytes(torch, tensor)):
                raise Refusal("differs", repr(name)[:60])


def _bytes(torch: Any, tensor: Any) -> Any:
    return tensor.contiguous().reshape(-1).view(torch.uint8)


if __name__ == "__main__":
    print(json.dumps(main(json.loads(sys.argv[1]))))
