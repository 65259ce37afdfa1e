"""Which files of a model are taken, and whether what was taken is whole. Pickles only to be converted."""

from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from luthier.errors import ModelError
from luthier.fetch.spec import FetchSpec
from luthier.fetch.weights_header import check_index, read_tensors
from luthier.model.template import read_config

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".h5", ".msgpack")
"""Opening these can run code of strangers, or they hold the weights once more in another library's form."""
WEIGHTS, SHARD_INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLED, PICKLED_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
PICKLED_SHARDS = "pytorch_model-*-of-*.bin"
STATE_DICTS = (".bin", ".pt", ".pth")
NO_WEIGHTS = ("training_args*", "optimizer*", "scheduler*", "scaler*", "rng_state*", "adapter_model*", "*_states.pt")
"""Pickles that trainers leave beside a model's weights."""
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")


def choose(names: Iterable[str], spec: FetchSpec) -> list[str]:
    """Give the names to take, sorted: included, not excluded, no pickle; the model's code only if it is trusted.

    With `convert` set, and no safetensors among them, the pickled weights are taken too.
    """
    include = (*spec.include, "*.py") if spec.trust_remote_code else spec.include

    def is_left(name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in spec.exclude)

    def wanted(name: str) -> bool:
        taken = any(fnmatchcase(name, pattern) for pattern in include)
        is_code = name.endswith(".py") and not spec.trust_remote_code
        return taken and not is_left(name) and not is_code and not is_pickle(name)

    names = list(names)
    chosen = [name for name in names if wanted(name)]
    if spec.convert and not {WEIGHTS, SHARD_INDEX} & set(chosen):
        chosen += pickled_weights(name for name in names if not is_left(name))
        chosen += [name for name in (PICKLED_INDEX,) if name in names and name not in chosen]
    return sorted(chosen)


def pickled_weights(names: Iterable[str]) -> list[str]:
    """Give the pickles of a model's folder that hold its weights, sorted; several of unknown names cannot be told."""
    here = sorted(name for name in names if "/" not in name)
    if PICKLED_INDEX in here:
        return [name for name in here if fnmatchcase(name, PICKLED_SHARDS)]
    if PICKLED in here:
        return [PICKLED]
    return [
        name
        for name in here
        if name.lower().endswith(STATE_DICTS) and not any(fnmatchcase(name, pattern) for pattern in NO_WEIGHTS)
    ]


def is_pickle(name: str) -> bool:
    """Whether a file of this name is never taken as it is."""
    return name.lower().endswith(PICKLES)


def check_names(taken: Iterable[str], every: Iterable[str], where: str) -> None:
    """Raise ModelError if, by their names, the files taken are no model: no config, weights or tokenizer."""
    names = set(taken)
    if "config.json" in set(every) - names:
        raise ModelError(
            "include and exclude leave out config.json, without which it is no model",
            where=where,
            mend="let include begin with what it is by default: luthier fetch --help shows it",
        )
    if "config.json" not in names:
        raise ModelError(
            "there is no config.json: this is no model",
            where=where,
            mend="give a folder as transformers saves it (config.json, *.safetensors, tokenizer.json)",
        )
    if not names & {WEIGHTS, SHARD_INDEX}:
        _check_pickled(names, every, where)
    if not names & set(TOKENIZERS):
        raise ModelError(
            "the model has no tokenizer",
            where=where,
            mend="put tokenizer.json and tokenizer_config.json of the same model beside its weights",
        )


def _check_pickled(names: set[str], every: Iterable[str], where: str) -> None:
    """Raise ModelError unless the pickled weights of one saving were taken, to be converted."""
    taken = sorted(name for name in names if is_pickle(name))
    if len(taken) == 1 or (taken and PICKLED_INDEX in names):
        return
    if taken:
        raise ModelError(
            f"{len(taken)} pickles could be the weights: {', '.join(taken[:4])}",
            where=where,
            mend="leave out those that are not: exclude='[NAME, ...]'",
        )
    pickles = sorted(name for name in every if is_pickle(name))
    if pickles:
        raise ModelError(
            f"the weights are pickled ({pickles[0]}), which can run code when opened",
            where=where,
            mend="set convert=true (or --convert): they are turned into safetensors by a process that is shut in; "
            "or take a revision of the model with safetensors",
        )
    raise ModelError(
        f"there is no {WEIGHTS}, nor a list of its parts ({SHARD_INDEX})",
        where=where,
        mend="give a folder as save_pretrained of transformers writes it, or download the missing files",
    )


def check_whole(folder: Path, names: Collection[str]) -> None:
    """Raise ModelError if config.json is not JSON, a safetensors file is not exactly what its header says, or a shard
    is missing. No weight is read.
    """
    read_config(folder)
    held = {name: read_tensors(folder / name) for name in names if name.endswith(".safetensors")}
    if SHARD_INDEX in names:
        check_index(folder / SHARD_INDEX, held)
