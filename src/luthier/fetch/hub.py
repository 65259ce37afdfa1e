"""`owner/name`: a model on a Hugging Face-style hub, known by its name; the commit stands in the figures."""

from pathlib import Path
from typing import Any

from luthier.event import Tell
from luthier.fetch.found import Found
from luthier.fetch.spec import FetchSpec


def look(spec: FetchSpec, rest: str) -> Found:
    """Take the name as it is: nothing is asked of the network until it is fetched, and never again afterwards."""

    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        from luthier.fetch.download import download  # huggingface_hub: only when something is really fetched

        return download(rest, spec, out, work, tell)

    return Found("model", bring)


def expected_bytes(spec: FetchSpec, rest: str) -> None:
    """Give None: the size is not known without asking the hub."""
