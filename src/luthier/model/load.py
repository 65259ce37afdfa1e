"""A causal language model from a folder: local files only, safetensors only, every weight accounted for."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.errors import LuthierError, ModelError
from luthier.model.machine import check_device, keep_few_kernels, quiet_libraries
from luthier.model.quantized import bars_hidden, keep_layout, quantization, unpack
from luthier.model.template import read_config

DTYPES = ("float32", "bfloat16", "float16")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")
WEIGHTS = "model.safetensors"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
CHANGED_WEIGHTS = "changed.safetensors"


def load_causal(
    folder: Path,
    *,
    dtype: str,
    device: str,
    attention: str | None = None,
    trust_remote_code: bool = False,
    quantize: str = "none",
    places: Mapping[str, str] | None = None,
) -> Any:
    """Load a causal language model, in evaluation mode; `quantize` (a row of `quantized.KINDS`) narrows its weights,
    `places` (as `device_map.place_layers` gives them) spreads them.

    `dtype` is one of `DTYPES`, `device` what torch calls it (`cpu`, `cuda`, `cuda:1`, `mps`), `attention` the name of
    an attention function transformers knows (None: its own choice). Code in the folder runs only if trusted.
    Raises ModelError if the folder is no model, if weights are missing, damaged or of other shapes, or if the
    architecture is unknown; ToolError if the device is not here.
    """
    model, found = _read(
        folder, "AutoModelForCausalLM", dtype, device, quantize, trust_remote_code, places, attention=attention
    )
    _check_whole(folder, found)
    return model


def load_classifier(
    folder: Path,
    *,
    outputs: int,
    problem: str,
    dtype: str,
    device: str,
    seed: int,
    trust_remote_code: bool = False,
    quantize: str = "none",
    places: Mapping[str, str] | None = None,
) -> Any:
    """Load a language model with a new linear layer of `outputs` numbers in the place of its head, seeded.

    `problem` is what transformers calls it: single_label_classification, multi_label_classification, regression.
    Raises as `load_causal` does, and ModelError for an architecture without such a form.
    """
    import torch

    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    try:
        model, found = _read(
            folder,
            "AutoModelForSequenceClassification",
            dtype,
            device,
            quantize,
            trust_remote_code,
            places,
            num_labels=outputs,
            problem_type=problem,
        )
    finally:
        torch.random.set_rng_state(state)
    new = [name for name in found["missing_keys"] if name.startswith(("score.", "classifier."))]
    _check_whole(folder, {**found, "missing_keys": set(found["missing_keys"]) - set(new)})
    if not new:
        raise ModelError(
            "the model has a head for classes already", where=str(folder), mend="take its base, a language model"
        )
    return model


def _read(
    folder: Path,
    auto: str,
    dtype: str,
    device: str,
    quantize: str,
    trust_remote_code: bool,
    places: Mapping[str, str] | None,
    **more: Any,
) -> tuple[Any, dict[str, Any]]:
    import torch  # 2.5 s: only when a model is needed
    import transformers

    keep_few_kernels()
    read_config(folder)
    _check_weights(folder)
    if dtype not in DTYPES:
        raise ModelError(f"dtype is {dtype!r}", where=str(folder), mend=f"give one of {', '.join(DTYPES)}")
    check_device(device)
    silence()
    placed = quantization(folder, quantize, dtype, device)
    if places is not None:
        placed["device_map"] = dict(places)
    if "attention" in more:
        more["attn_implementation"] = more.pop("attention")
    try:
        with bars_hidden(folder):
            model, found = getattr(transformers, auto).from_pretrained(
                folder,
                dtype=getattr(torch, dtype),
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                ignore_mismatched_sizes=True,  # told by the caller, with the names and both shapes
                output_loading_info=True,
                **placed,
                **more,
            )
            unpack(model, folder)
    except Exception as error:  # transformers, its configs and safetensors each raise their own
        raise _explain(folder, error) from error
    keep_layout(model)
    return (model if placed else model.to(device)).eval(), found  # those lie where they were read to


def load_adapted(model: Any, folder: Path) -> Any:
    """Put a PEFT adapter on a model for inference; it is kept apart from the weights, so nothing is rounded.

    Where the model's own weights were tuned, those that changed are put in their places.
    Raises ModelError if the folder holds no whole adapter, or one of another base.
    """
    if (folder / CHANGED_WEIGHTS).exists():
        from luthier.model.own_weights import load_changed

        load_changed(model, folder)
        return model.eval()
    from peft import PeftModel  # 5 s

    for name in ("adapter_config.json", ADAPTER_WEIGHTS):
        if not (folder / name).exists():
            raise ModelError(
                f"the folder holds no whole adapter: there is no {name}",
                where=str(folder),
                mend=f"give a folder as PEFT saves it (adapter_config.json, {ADAPTER_WEIGHTS})",
            )
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Found missing adapter keys")
            # PEFT asks for a property by a name transformers has begun to replace: nothing a user can mend
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            # AdaLoRA's ranks are by parameter, not by module: PEFT reads them when the weights are loaded
            warnings.filterwarnings("ignore", message=".*_pattern keys did not match.*", category=RuntimeWarning)
            adapted = PeftModel.from_pretrained(
                model, folder, is_trainable=False, use_safetensors=True, torch_device=str(model.device)
            )
        _check_all_placed(adapted, folder)
    except Exception as error:  # PEFT raises RuntimeError, ValueError, TypeError and its warning, each for a misfit
        base = _base_of(folder)
        raise ModelError(
            f"the adapter does not fit this model: {_last_line(error)}",
            where=str(folder),
            mend=f"put it on the base it was made with{f' ({base})' if base else ''}",
        ) from error
    return adapted.eval()


def _check_all_placed(adapted: Any, folder: Path) -> None:
    """PEFT passes over weights for which the model has no place; such an adapter is of another base."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / ADAPTER_WEIGHTS, framework="pt") as file:
        # True: with "auto" PEFT asks the hub for a model called like our base's id
        unplaced = sorted(set(file.keys()) - set(get_peft_model_state_dict(adapted, save_embedding_layers=True)))
    if unplaced:
        raise ValueError(f"it has no place for the weight {unplaced[0]}{_more(len(unplaced) - 1)}")


def silence() -> None:
    """Turn off the progress bars and the chatter of transformers: what matters is told as events."""
    from transformers.utils import logging as library

    library.disable_progress_bar()
    library.set_verbosity_error()
    quiet_libraries()


def _check_weights(folder: Path) -> None:
    index = folder / f"{WEIGHTS}.index.json"
    if index.exists():
        try:
            shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"the list of weight files cannot be read: {error!r}", where=str(index), mend="fetch the model again"
            ) from None
        for name in shards:
            if not (folder / name).exists():
                raise ModelError(f"the weight file {name} is missing", where=str(index), mend="fetch the model again")
        return
    if (folder / WEIGHTS).exists():
        return
    if any(path for pattern in PICKLES for path in folder.glob(pattern)):
        raise ModelError(
            "the weights are pickles, which can run any code when they are read",
            where=str(folder),
            mend="fetch a version of the model with *.safetensors (many hubs have a branch or a bot that makes one)",
        )
    raise ModelError(
        f"the folder holds no weights: there is no {WEIGHTS}",
        where=str(folder),
        mend="fetch the model again, or give the folder that holds *.safetensors",
    )


def _check_whole(folder: Path, found: dict[str, Any]) -> None:
    mismatched = sorted(found["mismatched_keys"])
    if mismatched:
        name, stored, wanted = mismatched[0]
        raise ModelError(
            f"{name} has the shape {tuple(stored)}, config.json asks for {tuple(wanted)}{_more(len(mismatched) - 1)}",
            where=str(folder),
            mend="put the config.json of the same model beside its weights",
        )
    missing = sorted(found["missing_keys"])
    if missing:
        raise ModelError(
            f"the weight {missing[0]} is missing{_more(len(missing) - 1)}",
            where=str(folder),
            mend="fetch the model again: an untrained weight in its place would answer nonsense",
        )


def _more(count: int) -> str:
    return f" (and {count} more)" if count else ""


def _explain(folder: Path, error: Exception) -> LuthierError:
    """Give the error a person can mend."""
    text = str(error)
    config = read_config(folder)
    kind = config.get("model_type")
    if "trust_remote_code" in text:
        return ModelError(
            f"the model {kind!r} brings its own code",
            where=str(folder),
            mend="read the code in that folder, then set trust_remote_code=true",
        )
    if "Unrecognized" in text or "does not recognize this architecture" in text or "model type" in text:
        return ModelError(
            f"model_type {kind!r} is no causal language model transformers knows",
            where=f"{folder / 'config.json'}, key model_type",
            mend="use a newer transformers, or a model for text generation",
        )
    if type(error).__name__ == "SafetensorError":
        return ModelError(f"the weights are damaged: {text}", where=str(folder), mend="fetch the model again")
    mend = "mend config.json where the message says, or fetch the model again"
    if "attn_implementation" in text:
        mend = "set attention to one that is named above, or leave it out"
    return ModelError(f"the model cannot be loaded: {_last_line(error)}", where=str(folder), mend=mend)


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _base_of(folder: Path) -> str:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except ValueError:
        return ""
    return str(config.get("base_model_name_or_path") or "")
