"""From a Hugging Face-style hub, through huggingface_hub: what a model needs, checked, and where it broke off."""

import glob
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, constants, get_token, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError, OfflineModeIsEnabled  # HTTPError: httpx's or httpx2's
from huggingface_hub.utils import disable_progress_bars

from luthier.artifact import atomic
from luthier.errors import FetchError, RoomError
from luthier.event import Chose, Progress, Tell
from luthier.fetch.model_files import check_names, check_whole, choose, is_pickle
from luthier.fetch.refusal import explain
from luthier.fetch.spec import FetchSpec

TIMEOUT_SECONDS = 30
TELL_EVERY_SECONDS = 1.0


def download(name: str, spec: FetchSpec, out: Path, work: Path, tell: Tell) -> dict[str, Any]:
    """Bring the files of `owner/name` into `out`. Gives its commit and address as figures.

    Files that were whole before a kill lie in `work` and are not loaded again. A token is taken from the usual place
    (HF_TOKEN, or the login) and never written anywhere.
    Raises FetchError if the hub refuses or sends other bytes than it promised, ModelError if there are no
    safetensors, RoomError if they would not fit on the disk.
    """
    disable_progress_bars()  # events tell how far we are
    endpoint = _endpoint(spec, tell)
    address = f"{endpoint}/{name}"
    commit, promised = _listing(name, spec, endpoint)
    wanted = {file: promised[file] for file in choose(promised, spec)}
    check_names(wanted, promised, address)
    _tell_choices(spec, endpoint, commit, [file for file in promised if is_pickle(file)], tell)
    total = sum(size for size, _ in wanted.values())
    cache = work / "hub"
    for torn in cache.rglob("*.incomplete"):  # left by a kill; huggingface_hub never takes them up again
        torn.unlink()
    _check_room(work, total - _size(cache))
    patterns = [glob.escape(file) for file in wanted]
    try:
        with _watch(cache, total, tell):
            folder = snapshot_download(
                name, revision=commit, endpoint=endpoint, cache_dir=cache, allow_patterns=patterns
            )
    except (HTTPError, OfflineModeIsEnabled, ConnectionError, FileNotFoundError) as error:
        raise explain(error, name, commit, endpoint) from error
    _take(Path(folder), wanted, out, address)
    check_whole(out, wanted)
    return {"hub": address, "commit": commit, "files": len(wanted)}


def _endpoint(spec: FetchSpec, tell: Tell) -> str:
    if spec.endpoint is not None:
        return spec.endpoint
    why = "HF_ENDPOINT says so" if os.environ.get("HF_ENDPOINT") else "the default; set endpoint for a mirror"
    tell(Chose("hub", constants.ENDPOINT, why))
    return str(constants.ENDPOINT)


def _listing(name: str, spec: FetchSpec, endpoint: str) -> tuple[str, dict[str, tuple[int, str | None]]]:
    """Give the commit, and for each file its size and, for large ones, its SHA-256."""
    try:
        info = HfApi(endpoint=endpoint).model_info(
            name, revision=spec.revision, files_metadata=True, timeout=TIMEOUT_SECONDS
        )
    except (HTTPError, OfflineModeIsEnabled, HFValidationError, ConnectionError) as error:
        raise explain(error, name, spec.revision, endpoint) from error
    files = {file.rfilename: (file.size or 0, file.lfs.sha256 if file.lfs else None) for file in info.siblings or ()}
    return str(info.sha), files


def _tell_choices(spec: FetchSpec, endpoint: str, commit: str, left: list[str], tell: Tell) -> None:
    tell(Chose("commit", commit, f"what {spec.revision or 'main'} stands for right now"))
    if get_token() is not None:
        tell(Chose("token", "sent", f"found in the usual place (HF_TOKEN or the login), for {endpoint}"))
    if left:
        tell(Chose("files left out", ", ".join(left[:5]), "pickles are never taken"))


def _check_room(work: Path, needed: int) -> None:
    free = shutil.disk_usage(work).free
    if free < needed:
        raise RoomError(
            f"the model takes {needed:,} more bytes, {free:,} are free",
            where=str(work),
            mend="free some room (luthier list shows what can go, luthier remove ID), then run the same command again",
        )


@contextmanager
def _watch(cache: Path, total: int, tell: Tell) -> Iterator[None]:
    """Tell how many bytes lie in the cache while the download goes on."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(TELL_EVERY_SECONDS):
            tell(Progress("download", min(_size(cache), total), total, "bytes"))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
    tell(Progress("download", total, total, "bytes"))


def _size(folder: Path) -> int:
    sizes = 0
    for path in folder.rglob("*"):
        try:
            sizes += path.lstat().st_size if path.is_file() and not path.is_symlink() else 0
        except FileNotFoundError:  # the downloader renames files as they become whole
            continue
    return sizes


def _take(folder: Path, wanted: Mapping[str, tuple[int, str | None]], out: Path, address: str) -> None:
    """Link the loaded files into `out` (one disk, no copy), each as large and as hashed as promised."""
    for name, (size, sha256) in wanted.items():
        source = (folder / name).resolve()
        if source.stat().st_size != size or (sha256 is not None and atomic.sha256(source) != sha256):
            source.unlink()  # else the next run would take it for whole
            raise FetchError(
                f"{name} is not what the hub promised ({size:,} bytes, sha256 {sha256 or 'not given'})",
                where=f"{address}, {name}",
                mend="run the same command again; if it stays so, the hub or a proxy in between is at fault",
            )
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        os.link(source, target)
