"""What lies beside the weights of a model folder (config, tokenizer, template, licence), for a folder made from it."""

import shutil
from pathlib import Path

from luthier.artifact import card

WEIGHTS = (".safetensors", ".safetensors.index.json", ".bin", ".pt", ".pth", ".gguf")


def copy_beside(folder: Path, out: Path) -> None:
    """Copy every file of a model folder that holds no weights and is not its card."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name != card.NAME and not path.name.endswith(WEIGHTS):
            shutil.copyfile(path, out / path.name)


def size_bytes(folder: Path) -> int:
    """Give the size of all files of a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and path.name != card.NAME)
