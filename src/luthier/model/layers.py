"""The layers of a decoder, and how their forward pass may be exchanged: on the object, never on its class."""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from luthier.model.attention import resumed, row_now

PARTS = {"input_layernorm", "self_attn", "post_attention_layernorm", "mlp"}
"""The children of a layer that computes x + attention(norm(x)), then x + mlp(norm(x)), and nothing else."""
Forward = Callable[..., Any]


def decoder_layers(model: Any) -> list[nn.Module]:
    """Give a causal model's layers in order; none if its decoder keeps them where we do not know."""
    decoder = model.get_decoder()
    found = getattr(decoder, "layers", None)
    if found is None:
        found = getattr(decoder, "h", None)
    return list(found) if isinstance(found, nn.ModuleList) else []


def exchange(layer: nn.Module, forward: Forward) -> None:
    """Put a function in the place of a layer's forward pass."""
    layer.__dict__["forward"] = forward


def restore(layer: nn.Module) -> None:
    """Give a layer its own forward pass back."""
    layer.__dict__.pop("forward", None)


def narrow_last(model: Any) -> bool:
    """Let the last layer's MLP compute only the places that are asked for; gives whether the layer allows it.

    `documents(..., rows=...)` asks; the decoder then gives their hidden states alone. Attention is computed at every
    place: the keys of all are needed.
    """
    layers = decoder_layers(model)
    if not layers or {name for name, _ in layers[-1].named_children()} != PARTS:
        return False
    layer: Any = layers[-1]
    whole: Forward = layer.forward

    def forward(hidden_states: Tensor, **more: Any) -> Any:
        row = row_now()
        if row is None or row.rows is None:
            return whole(hidden_states, **more)
        row.is_narrow = True
        attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **more)
        kept = (hidden_states + attended)[:, row.rows]
        return kept + layer.mlp(layer.post_attention_layernorm(kept))

    exchange(layer, forward)
    return True


def widen_last(model: Any) -> None:
    """Undo `narrow_last`."""
    restore(decoder_layers(model)[-1])


def checkpoint_layers(model: Any) -> int:
    """Keep each layer's input only, and compute the rest once more for backward. Gives how many layers do so."""
    layers = decoder_layers(model)
    for layer in layers:
        exchange(layer, _checkpointed(layer.forward))
    return len(layers)


def _checkpointed(forward: Forward) -> Forward:
    def run(*args: Any, **more: Any) -> Any:
        row = row_now()

        def again(*inner: Any) -> Any:
            with resumed(row):  # backward comes after the row's block has ended
                return forward(*inner, **more)

        return checkpoint(again, *args, use_reentrant=False)

    return run
