"""Which files of a model are taken, and whether what was taken is whole. Pickles are never taken."""

import json
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from safetensors import SafetensorError, safe_open

from luthier.errors import ModelError
from luthier.fetch.spec import FetchSpec
from luthier.model.template import read_config

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack")
"""Opening these can run code of strangers, or they hold the weights once more in another library's form."""
WEIGHTS, SHARD_INDEX = "model.safetensors", "model.safetensors.index.json"
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def choose(names: Iterable[str], spec: FetchSpec) -> list[str]:
    """Give the names to take, sorted: included, not excluded, no pickle; the model's code only if it is trusted."""
    include = (*spec.include, "*.py") if spec.trust_remote_code else spec.include

    def wanted(name: str) -> bool:
        taken = any(fnmatchcase(name, pattern) for pattern in include)
        left = any(fnmatchcase(name, pattern) for pattern in spec.exclude)
        is_code = name.endswith(".py") and not spec.trust_remote_code
        return taken and not left and not is_code and not is_pickle(name)

    return sorted(name for name in names if wanted(name))


def is_pickle(name: str) -> bool:
    """Whether a file of this name is never taken."""
    return name.lower().endswith(PICKLES)


def check_names(taken: Iterable[str], every: Iterable[str], where: str) -> None:
    """Raise ModelError if, by their names, the files taken are no model: no config, weights or tokenizer."""
    names = set(taken)
    if "config.json" not in names:
        raise ModelError(
            "there is no config.json: this is no model",
            where=where,
            mend="give a folder as transformers saves it (config.json, *.safetensors, tokenizer.json)",
        )
    if not names & {WEIGHTS, SHARD_INDEX}:
        pickles = sorted(name for name in every if is_pickle(name))
        raise ModelError(
            f"the weights are pickled ({pickles[0]}), which can run code when opened"
            if pickles
            else f"there is no {WEIGHTS}, nor a list of its parts ({SHARD_INDEX})",
            where=where,
            mend="where you trust them, save them once as safetensors (save_pretrained of transformers does), then "
            "give that folder; on the hub, look for a revision with safetensors",
        )
    if not names & set(TOKENIZERS):
        raise ModelError(
            "the model has no tokenizer",
            where=where,
            mend="put tokenizer.json and tokenizer_config.json of the same model beside its weights",
        )


def check_whole(folder: Path, names: Collection[str]) -> None:
    """Raise ModelError if config.json is not JSON, a safetensors file is cut short, or a shard is missing."""
    read_config(folder)
    held: set[str] = set()
    for name in (name for name in names if name.endswith(".safetensors")):
        try:
            with safe_open(folder / name, framework="numpy") as file:  # reads the header and compares the file's size
                held |= set(file.keys())
        except SafetensorError as error:
            raise ModelError(
                f"{name} is damaged or cut short: {error}", where=str(folder / name), mend="download it again"
            ) from None
    index = folder / SHARD_INDEX
    if SHARD_INDEX in names:
        try:
            shards = dict(json.loads(index.read_text(encoding="utf-8"))["weight_map"])
        except (ValueError, KeyError, TypeError):
            raise ModelError("not a list of shards", where=str(index), mend="download it again") from None
        missing = sorted({shard for tensor, shard in shards.items() if tensor not in held})
        if missing:
            raise ModelError(
                f"{len(missing)} files of weights are missing or not whole: {', '.join(missing[:3])}",
                where=str(index),
                mend="put the missing files beside it, or download the model again",
            )
