"""A model without its weights: every layer in its place on torch's meta device, where tensors take no memory."""

import json
import tempfile
import warnings
from pathlib import Path
from typing import Any

import torch
import transformers

from luthier.errors import ModelError
from luthier.model.load import silence
from luthier.model.methods import linears
from luthier.model.shapes import Layer, Shapes
from luthier.model.template import read_config


def open_skeleton(folder: Path, dtype: str = "bfloat16", outputs: int | None = None, layers: int | None = None) -> Any:
    """Build a folder's causal language model from its config; with `outputs`, one with a head of so many classes; with
    `layers`, its first so many layers alone.

    Weights of a few bits are built in full: what they take is counted from the files. Code in the folder is never
    run. Raises ModelError for an architecture transformers does not know.
    """
    plain = {key: value for key, value in read_config(folder).items() if key not in ("quantization_config", "auto_map")}
    silence()
    auto = transformers.AutoModelForCausalLM if outputs is None else transformers.AutoModelForSequenceClassification
    more = {} if outputs is None else {"num_labels": outputs}
    try:
        with tempfile.TemporaryDirectory() as copy, warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # of token ids and the like: the loader says what bears on a run
            (Path(copy) / "config.json").write_text(json.dumps(plain), encoding="utf-8")
            config = transformers.AutoConfig.from_pretrained(copy, local_files_only=True, **more)
            _shorten(config, layers)
            return auto.from_config(config, dtype=getattr(torch, dtype))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError, OSError) as error:
        raise ModelError(
            f"the model {plain.get('model_type')!r} cannot be built from its config: {str(error).splitlines()[0]}",
            where=str(folder / "config.json"),
            mend="plan with its weights beside it (*.safetensors: only their headers are read), "
            "or use a newer transformers",
        ) from error


def _shorten(config: Any, layers: int | None) -> None:
    text = config.get_text_config()
    if layers is None or layers >= text.num_hidden_layers:
        return
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]


def shapes_of(model: Any, stored_bytes: int = 0) -> Shapes:
    """Give the shapes of a model in memory, or of a skeleton."""
    config = model.config.get_text_config()
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    names = {module: name for name, module in model.named_modules()}
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    return Shapes(
        tensors={name: tuple(parameter.shape) for name, parameter in model.named_parameters()},
        linear=tuple(_layer(name, module) for name, module in linears(model) if module is not head),
        head=Layer(names[head], *head.weight.shape),
        is_tied=head.weight is embedding.weight,
        layers=int(config.num_hidden_layers),
        hidden=int(config.hidden_size),
        vocabulary=int(embedding.weight.shape[0]),
        heads=heads,
        key_value_heads=int(getattr(config, "num_key_value_heads", None) or heads),
        kind=str(config.model_type),
        stored_bytes=stored_bytes,
        experts_share=_experts_share(config),
    )


def _experts_share(config: Any) -> float:
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    experts = next((count for name in names if (count := getattr(config, name, None))), None)
    return float(getattr(config, "num_experts_per_tok", None) or 1) / experts if experts else 1.0


def _layer(name: str, module: Any) -> Layer:
    if hasattr(module, "in_features"):
        return Layer(name, int(module.out_features), int(module.in_features))
    return Layer(name, int(module.weight.shape[1]), int(module.weight.shape[0]))
