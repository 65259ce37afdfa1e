"""From transformers' modelling code to an OpenVINO graph: one traced step, the past key and value tensors handed in.

Letters: B rows, T new tokens, P past tokens, H key-value heads, D width of a head.
"""

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from luthier.errors import ModelError
from luthier.model.cache_word import cache_word
from luthier.model.load import load_causal

ATTENTION = "luthier_traced"
ROWS, NEW, PAST = 2, 3, 4
"""Sizes of the example that is traced; all three stay open in the graph, so they must differ from each other."""
MOVING_ROTATIONS = ("dynamic", "longrope")
"""Rotary angles that change with the length of the text: a trace would freeze those of the example."""


class _Past:
    """What transformers asks of a cache: the past, with the new tokens put behind it."""

    is_compileable = False

    def __init__(self, past: Sequence[Tensor]) -> None:
        self.past = past
        self.present: list[Tensor] = list(past)

    def update(
        self, key_BHTD: Tensor, value_BHTD: Tensor, layer: int, *more: Any, **kind: Any
    ) -> tuple[Tensor, Tensor]:
        for place, new in ((2 * layer, key_BHTD), (2 * layer + 1, value_BHTD)):
            self.present[place] = torch.cat([self.past[place], new], dim=2)
        return self.present[2 * layer], self.present[2 * layer + 1]

    def get_seq_length(self, layer: int = 0) -> int:
        return int(self.past[0].shape[2])


class _Step(nn.Module):
    """The model as the graph has it: ids, mask, positions and the past in; logits and the past, grown, out."""

    def __init__(self, causal: Any) -> None:
        super().__init__()
        self.causal = causal
        self.cache_word = cache_word(causal)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor) -> Any:
        before, new = past[0].shape[2], input_ids.shape[1]
        asked, seen = torch.arange(before, before + new), torch.arange(before + new)
        may_see = (seen[None, :] <= asked[:, None])[None, None] & attention_mask[:, None, None, :].bool()
        cache = _Past(past)
        found = self.causal(
            input_ids=input_ids,
            attention_mask=may_see,
            position_ids=position_ids,
            use_cache=True,
            **{self.cache_word: cache},
        )
        return (found.logits, *cache.present)


def _attention(
    module: Any, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor, scaling: Any = None, **more: Any
) -> tuple[Tensor, None]:
    """Plain attention, in the shape that OpenVINO's paged attention is made from (the heads repeated, one SDPA)."""
    foreign = [name for name in ("sliding_window", "softcap", "s_aux") if more.get(name) is not None]
    if foreign:
        raise NotImplementedError(f"its attention has {foreign[0]}")
    if module.num_key_value_groups > 1:
        key, value = (_repeat(part, module.num_key_value_groups) for part in (key, value))
    found = scaled_dot_product_attention(query, key, value, attn_mask=attention_mask, scale=scaling)
    return found.transpose(1, 2).contiguous(), None


def _repeat(part: Tensor, times: int) -> Tensor:
    rows, heads, tokens, width = part.shape
    return part[:, :, None].expand(rows, heads, times, tokens, width).reshape(rows, heads * times, tokens, width)


AttentionInterface.register(ATTENTION, _attention)


def trace(folder: Path, trust_remote_code: bool) -> tuple[Any, int]:
    """Give the graph of a model folder, in float32, with named inputs and outputs; and how many layers keep a past.

    Raises ModelError for a model whose attention the CPU engine would not compute as the model does.
    """
    import openvino

    model = load_causal(folder, dtype="float32", device="cpu", attention=ATTENTION, trust_remote_code=trust_remote_code)
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    if str(rope.get("rope_type")) in MOVING_ROTATIONS:
        raise _refusal(folder, f"its rotary angles change with the length of the text ({rope['rope_type']})")
    heads = int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    layers = int(config.num_hidden_layers)
    past = [torch.zeros(ROWS, heads, PAST, width) for _ in range(2 * layers)]
    ids = torch.ones(ROWS, NEW, dtype=torch.long)
    positions = torch.arange(PAST, PAST + NEW)[None].expand(ROWS, NEW)
    example = (ids, torch.ones(ROWS, PAST + NEW, dtype=torch.long), positions, *past)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the tracer: shapes it takes for numbers; they stay open (tested)
            logging.getLogger("openvino").setLevel(logging.ERROR)
            graph = openvino.convert_model(_Step(model), example_input=example)
    except Exception as error:  # modelling code of strangers, traced: it may raise anything
        raise _refusal(folder, str(error).strip().splitlines()[0]) from error
    _name(graph, layers, (heads, width))
    return graph, layers


def _name(graph: Any, layers: int, shape: tuple[int, int]) -> None:
    import openvino

    kept = [f"{layer}.{part}" for layer in range(layers) for part in ("key", "value")]
    inputs = ["input_ids", "attention_mask", "position_ids", *(f"past_key_values.{name}" for name in kept)]
    for found, name in zip(graph.inputs, inputs, strict=True):
        found.get_tensor().set_names({name})
        is_past = name.startswith("past")
        found.get_node().set_friendly_name(name)
        found.get_node().set_partial_shape(openvino.PartialShape([-1, shape[0], -1, shape[1]] if is_past else [-1, -1]))
    for found, name in zip(graph.outputs, ["logits", *(f"present.{name}" for name in kept)], strict=True):
        found.get_tensor().set_names({name})
    for node in graph.get_ops():  # as the engine looks for them where an adapter is put on
        node.set_friendly_name(node.get_friendly_name().replace("__module.causal.", "__module."))
    graph.validate_nodes_and_infer_types()


def _refusal(folder: Path, why: str) -> ModelError:
    return ModelError(
        f"OpenVINO's engine cannot take this model: {why}",
        where=str(folder),
        mend="make kind=gguf-q8_0, or serve the model itself through transformers",
    )
