"""`tiny:NAME`: small seeded models, made here."""

from pathlib import Path
from typing import Any

from luthier.errors import FetchError
from luthier.event import Tell
from luthier.fetch.found import Found, HashFile
from luthier.fetch.spec import FetchSpec

KINDS = ("llama",)
LLAMA_BYTES = 1_000_000


def look(spec: FetchSpec, name: str, hash_file: HashFile) -> Found:
    """Find a tiny model by name. Raises FetchError if there is none of that name."""
    if name not in KINDS:
        raise FetchError(
            f"there is no tiny model {name!r}", where="fetch, key source", mend=f"write tiny:{' or tiny:'.join(KINDS)}"
        )
    return Found("model", _bring)


def expected_bytes(spec: FetchSpec, name: str) -> int:
    """Give the bytes it takes on disk."""
    return LLAMA_BYTES


def _bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
    from luthier.fetch.tiny import make_tiny_llama  # torch: only when it is really made

    return make_tiny_llama(out)
