"""Pickled weights into safetensors: each file in a process of its own that can reach nothing and run nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from luthier.artifact import atomic
from luthier.errors import LuthierError, ModelError
from luthier.event import Chose, Progress, Tell
from luthier.fetch.model_files import PICKLED_INDEX, SHARD_INDEX, WEIGHTS, pickled_weights
from luthier.fetch.room import check_room
from luthier.fetch.weights_header import read_index, read_tensors

CHILD = Path(__file__).with_name("convert_child.py")
SHARD_BYTES = 2_000_000_000
START_SECONDS = 300
SLOWEST_BYTES_PER_SECOND = 5_000_000
PASSED_ON = ("PATH", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""What the child may know of this process's environment: no token, no proxy, no address."""
ANOTHER_COPY = "do not use this file; take a copy of the model with *.safetensors"
REFUSALS: dict[str, tuple[str, str]] = {
    "code": ("it asks for {detail}, which is no tensor; nothing of it was run", ANOTHER_COPY),
    "content": (
        "it is not a plain list of weights: {detail}",
        "save model.state_dict() alone with torch.save, or take a copy of the model with *.safetensors",
    ),
    "damaged": ("it cannot be read: {detail}", "download it again; if it stays so, " + ANOTHER_COPY),
    "memory": (
        "reading it takes more memory than its size accounts for: {detail}",
        "close other programs and run the same command again; if it stays so, " + ANOTHER_COPY,
    ),
    "differs": ("what was written is not what was read: {detail}", "check the disk, then run the same command again"),
}
"""What the child may answer, in words a person can act on."""


def convert(folder: Path, tell: Tell, *, origin: str | None = None, shard_bytes: int = SHARD_BYTES) -> dict[str, Any]:
    """Replace the pickled weights in a model's folder by safetensors of at most `shard_bytes` each (a tensor is
    never cut). Gives figures: the pickles' SHA-256, and what was left out because the model ties it.

    Names, order, number formats and every bit of every tensor stay; each file written is compared with its pickle.
    Does nothing in a folder without pickled weights. A pickle is removed once its safetensors are whole.
    `origin` is the folder or the address that the files were taken from: errors name it.
    Raises ModelError if a pickle asks for anything but tensors, is damaged or holds something else, RoomError if
    the disk has no room for a second copy.
    """
    origin = origin or str(folder)
    names = _listed(folder, origin)
    if not names:
        return {}
    total = sum((folder / name).stat().st_size for name in names)
    check_room(folder, "the conversion", _most_at_once([folder / name for name in names]))
    hashes = {name: atomic.sha256(folder / name) for name in names}
    droppable, done = _tied_names(folder), 0
    tied: dict[str, str] = {}
    written: list[dict[str, Any]] = []
    for number, name in enumerate(names):
        bytes_before = (folder / name).stat().st_size
        answer = _run_child(folder / name, f"{origin}/{name}", f"converted-{number}", droppable, shard_bytes)
        if number == 0:
            _tell_guards(answer, tell)
        tied |= answer["tied"]
        written += answer["files"]
        (folder / name).unlink()
        done += bytes_before
        tell(Progress("convert", done, total, "bytes"))
    _name_shards(folder, origin, written, tied)
    why = "convert=true; every tensor was compared bit by bit"
    tell(Chose("weights", f"safetensors, from {', '.join(names[:3])}", why))
    return {"converted_from": {name: f"sha256:{value}" for name, value in hashes.items()}} | (
        {"tied": tied} if tied else {}
    )


def _listed(folder: Path, origin: str) -> list[str]:
    """Give the pickles to convert: those the list of shards names, where there is one. All must be here."""
    names = pickled_weights(path.name for path in folder.iterdir())
    index = folder / PICKLED_INDEX
    if not names or not index.exists():
        return names
    listed = sorted(set(read_index(index).values()))
    missing = [name for name in listed if name not in names]
    if missing:
        raise ModelError(
            f"{len(missing)} files of weights are missing: {', '.join(missing[:3])}",
            where=f"{origin}/{index.name}",
            mend="put the missing files beside it, or download the model again",
        )
    for name in set(names) - set(listed):  # of another saving: the list does not know them
        (folder / name).unlink()
    return listed


def _most_at_once(pickles: Sequence[Path]) -> int:
    """Give the bytes that the copies take beside the pickles, where most is here at once: a pickle that lies in the
    download too frees nothing when it goes.
    """
    most = kept = 0
    for path in pickles:
        facts = path.stat()
        most = max(most, kept + facts.st_size)
        kept += facts.st_size if facts.st_nlink > 1 else 0
    return most


def _tied_names(folder: Path) -> list[str]:
    """Give the weights this model makes from others when it is loaded, as transformers knows it; [] if it does not."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig

    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
    except Exception:  # config of a stranger, or of an architecture with code of its own: then nothing is left out
        return []
    return sorted(model._tied_weights_keys or ()) if getattr(config, "tie_word_embeddings", False) else []


def _run_child(source: Path, where: str, stem: str, droppable: list[str], shard_bytes: int) -> dict[str, Any]:
    """Run the child on one file. Gives its answer; raises ModelError for what it refused, or if it did not end."""
    place = source.parent.resolve() / source.name  # the child begins in another folder
    job = {"source": str(place), "out": str(place.parent), "stem": stem}
    job_text = json.dumps(job | {"droppable": droppable, "shard_bytes": shard_bytes})
    limit_seconds = START_SECONDS + source.stat().st_size / SLOWEST_BYTES_PER_SECOND
    try:
        child = subprocess.run(
            [sys.executable, "-IB", str(CHILD), job_text],  # -I: no PYTHON* variables, no modules of this folder
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=limit_seconds,
            cwd=place.parent,
            env={name: os.environ[name] for name in PASSED_ON if name in os.environ} | {"OMP_NUM_THREADS": "1"},
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise _refusal(where, f"reading it took longer than {limit_seconds:.0f} s", ANOTHER_COPY) from None
    answer = _answer(child.stdout)
    if child.returncode != 0 or answer is None:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2][:200]
        state = f"signal {-child.returncode}" if child.returncode < 0 else f"status {child.returncode}"
        raise _refusal(where, f"the process that read it ended with {state}: {last}", ANOTHER_COPY)
    if "refused" in answer:
        what, mend = REFUSALS[answer["refused"]]
        raise _refusal(where, what.format(detail=answer["detail"]), mend)
    return answer


def _answer(output: bytes) -> dict[str, Any] | None:
    try:
        answer = json.loads(output.decode().strip().rpartition("\n")[2])
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _refusal(where: str, why: str, mend: str) -> LuthierError:
    name = where.rpartition("/")[2]
    return ModelError(f"the pickle {name} is not converted: {why}", where=where, mend=mend)


def _tell_guards(answer: dict[str, Any], tell: Tell) -> None:
    """Tell how the child was shut in: an honest line where the system has no namespaces or no limits."""
    is_apart = answer["network"] == "namespace"
    why = "the pickle was read without any network" if is_apart else "this system allows no network namespace"
    tell(Chose("network of the conversion", "cut off" if is_apart else "forbidden to Python code", why))
    limit = answer["memory_limit_bytes"]
    tell(Chose("memory of the conversion", f"{limit:,} bytes" if limit else "not limited", "from the file's size"))


def _name_shards(folder: Path, origin: str, written: list[dict[str, Any]], tied: dict[str, str]) -> None:
    """Give the files their usual names, check their headers, and write the list of shards if there are several."""
    index = folder / PICKLED_INDEX
    promised = read_index(index) if index.exists() else {}
    held = {name for file in written for name in file["bytes"]}
    lost = sorted(set(promised) - held - set(tied))
    if lost:
        raise ModelError(
            f"{len(lost)} weights are in no file: {', '.join(lost[:3])}",
            where=f"{origin}/{index.name}",
            mend="download it again",
        )
    shards: dict[str, str] = {}
    for number, file in enumerate(written, 1):
        name = WEIGHTS if len(written) == 1 else f"model-{number:05d}-of-{len(written):05d}.safetensors"
        (folder / file["name"]).rename(folder / name)
        shards |= dict.fromkeys(read_tensors(folder / name), name)
    if len(written) > 1:
        size = sum(sum(file["bytes"].values()) for file in written)
        atomic.write_json(folder / SHARD_INDEX, {"metadata": {"total_size": size}, "weight_map": shards})
    index.unlink(missing_ok=True)
