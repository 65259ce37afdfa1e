"""`modelscope:owner/name`: models and data on ModelScope, known by their names."""

from pathlib import Path
from typing import Any

from luthier.event import Tell
from luthier.fetch.address import Place, kind_of_place, read_place
from luthier.fetch.found import Found, HashFile
from luthier.fetch.spec import FetchSpec


def look(spec: FetchSpec, rest: str, hash_file: HashFile) -> Found:
    """Take the name as it is: nothing is asked of the network until it is fetched, and never again afterwards."""
    return _found(read_place(rest, False, spec.revision, spec.endpoint), spec)


def look_at_data(spec: FetchSpec, rest: str, hash_file: HashFile) -> Found:
    """Take the name of a repository of data as it is."""
    return _found(read_place(rest, True, spec.revision, spec.endpoint), spec)


def _found(place: Place, spec: FetchSpec) -> Found:
    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        from luthier.fetch.download import bring_from_modelscope  # httpx: only when something is really fetched

        return bring_from_modelscope(place, spec, out, work, tell)

    return Found(kind_of_place(place), bring)
