"""A GGUF file as a source: what it is known by, and how large it becomes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.event import Tell
from luthier.fetch.found import Found, HashFile
from luthier.fetch.gguf_header import folder_bytes, read_header
from luthier.fetch.spec import FetchSpec


def look_at_gguf(
    spec: FetchSpec, path: Path, hash_file: HashFile, figures: Mapping[str, Any], choices: Mapping[str, str]
) -> Found:
    """Find the model in a GGUF file. `figures` and `choices` say where the file itself comes from."""
    file_hash = f"sha256:{hash_file(path)}"

    def bring(out: Path, work: Path, tell: Tell) -> dict[str, Any]:
        from luthier.fetch.gguf_model import convert  # torch: only when it is really made

        return {"file": path.name, "file_sha256": file_hash[7:], **figures, **convert(path, out, spec.dtype, tell)}

    return Found("model", bring, {"gguf": file_hash}, choices)


def gguf_bytes(spec: FetchSpec, path: Path) -> int:
    """Give the bytes the plain folder will take: every weight in `spec.dtype`, and the tokenizer (about)."""
    return folder_bytes(read_header(path), spec.dtype)
