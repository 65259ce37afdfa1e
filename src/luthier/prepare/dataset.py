"""Data sets by name, read through `datasets`: `dataset:NAME?config=...&split=...&revision=...`.

A local folder is read where it lies. A repository is read as a stream at one commit; without a network, as the cache
of `datasets` has it.
"""

import difflib
import hashlib
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from luthier.artifact import atomic
from luthier.errors import DataError, ToolError

DATASET = "dataset:"
SETTINGS = ("config", "split", "revision")
CANNOT_READ = "datasets cannot read it: "
COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class DatasetName:
    """What to read through `datasets`: a repository at one commit (or as the cache has it), or a local folder."""

    name: str
    config: str | None = None
    split: str | None = None
    revision: str | None = None
    identity: str = ""
    """What tells its content: `commit:...`, `sha256:...`, or `cached:...` where the cache knows no commit."""
    is_cached: bool = False
    """Whether the hub does not answer, and the cache is read."""


def find_dataset(label: str) -> DatasetName:
    """Give what `dataset:...` names, with what tells its content now.

    Raises DataError for a name that leads nowhere, ToolError where `datasets` is not installed.
    """
    name, _, query = label.removeprefix(DATASET).partition("?")
    settings = dict(parse_qsl(query, keep_blank_values=True))
    for key in settings:
        if key not in SETTINGS:
            near = difflib.get_close_matches(key, SETTINGS, n=1) or list(SETTINGS)
            raise DataError(f"{key!r} is no setting of a data set", where=label, mend=f"write {' or '.join(near)}")
    if not name:
        raise DataError("no data set is named", where=label, mend="write dataset:NAME, or dataset:FOLDER")
    found = DatasetName(name, settings.get("config"), settings.get("split"), settings.get("revision"))
    if Path(name).is_dir():
        if found.revision:
            raise DataError("a folder has no revision", where=label, mend="leave revision out")
        return replace(found, identity=f"sha256:{_sum_of(Path(name))}")
    return _on_hub(found, label)


def library() -> Any:
    """Load `datasets`. Raises ToolError that names the extra where it is not installed."""
    try:
        import datasets
        import datasets.exceptions
    except ImportError:
        raise ToolError(
            "datasets is not installed, it reads dataset:NAME", where="extra data", mend="pip install 'luthier[data]'"
        ) from None
    datasets.disable_progress_bars()
    return datasets


def _sum_of(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))
    lines = [f"{path.relative_to(folder).as_posix()} {atomic.sha256(path)}\n" for path in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _on_hub(name: DatasetName, label: str) -> DatasetName:
    """Pin a repository to its commit; where the hub does not answer, to what the cache holds."""
    library()
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        commit = str(HfApi().dataset_info(name.name, revision=name.revision or "main", timeout=10).sha)
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise DataError(
            f"there is no data set {name.name!r}: {str(error).splitlines()[0]}",
            where=label,
            mend="give a repository (owner/name) that you may read, or a folder: dataset:./FOLDER",
        ) from None
    # Its own error's parents: those of the HTTP library it uses, which is not the same in all its versions.
    except (OfflineModeIsEnabled, OSError, *HfHubHTTPError.__bases__) as error:
        try:
            return _in_cache(name, label)
        except DataError as not_cached:
            raise _unanswered(error, not_cached, label) from None
    return replace(name, revision=commit, identity=f"commit:{commit}")


def _unanswered(error: Exception, not_cached: DataError, label: str) -> DataError:
    """Say why the hub was of no help where the cache is of none either."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    said = (str(error).strip() or type(error).__name__).splitlines()[0]
    if isinstance(error, HfHubHTTPError):
        what, mend = f"the hub refuses it: {said:.300}", "mend revision, or see whether the hub is in order"
    elif isinstance(error, OfflineModeIsEnabled):
        what, mend = "the network may not be asked (HF_HUB_OFFLINE)", "unset HF_HUB_OFFLINE"
    else:
        what = f"there is no connection to the hub: {said:.300}"
        mend = "check the network and its proxy, or set HF_ENDPOINT to a mirror"
    cached = not_cached.what.removeprefix(CANNOT_READ)
    return DataError(
        f"{what}; nor does the cache hold it: {cached}",
        where=label,
        mend=f"{mend}; or give its files as source; if the cache has several configurations, add ?config=NAME",
    )


def _in_cache(name: DatasetName, label: str) -> DatasetName:
    """Find in the cache of `datasets` what was loaded before; its folder is named by the commit."""
    name = replace(name, is_cached=True)
    rows = load(name, label)
    splits = list(rows.values()) if isinstance(rows, dict) else [rows]
    files = [file["filename"] for split in splits for file in split.cache_files]
    commits = [part for file in files for part in Path(file).parts if COMMIT.fullmatch(part)]
    known = f"commit:{commits[0]}" if commits else "cached:" + " ".join(sorted(one._fingerprint for one in splits))
    return replace(name, identity=known)


def load(name: DatasetName, label: str) -> Any:
    """Open a data set, all its splits or the one there is. Raises DataError with what `datasets` says."""
    datasets = library()
    folder = Path(name.name)
    try:
        if (folder / "state.json").is_file() or (folder / "dataset_dict.json").is_file():
            if name.config is not None:
                raise DataError("a saved data set has no configurations", where=label, mend="leave config out")
            return datasets.load_from_disk(name.name)
        return datasets.load_dataset(name.name, name.config, revision=name.revision, streaming=not name.is_cached)
    except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
        raise not_loaded(error, label) from None


def not_loaded(error: Exception, label: str) -> DataError:
    """Say what `datasets` says: its own messages name the configurations and the files there are."""
    said = " ".join(line.strip() for line in str(error).splitlines()[:4]) or type(error).__name__
    return DataError(
        f"{CANNOT_READ}{said:.400}",
        where=label,
        mend="mend the name, add ?config=NAME if it has several, or give its files as source",
    )
