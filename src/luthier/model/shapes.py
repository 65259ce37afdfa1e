"""The shapes of a model: what a plan needs to know of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """One linear layer."""

    name: str
    outputs: int
    inputs: int

    @property
    def size(self) -> int:
        """Its weights, without a bias."""
        return self.outputs * self.inputs


@dataclass(frozen=True)
class Shapes:
    """What a plan needs to know of a model."""

    tensors: Mapping[str, tuple[int, ...]]
    """Name -> shape of every parameter; one that is used twice stands once."""
    linear: tuple[Layer, ...]
    """The linear layers inside the decoder, head and embeddings left out."""
    head: Layer
    is_tied: bool
    """Whether the head is the embedding."""
    layers: int
    hidden: int
    vocabulary: int
    heads: int
    key_value_heads: int
    kind: str
    """What transformers calls the architecture: llama."""
    stored_bytes: int
    """Bytes of the weight files; 0 where there are none."""
    experts_share: float = 1.0
    """Part of a layer's experts that each token goes through."""

    @property
    def parameters(self) -> int:
        """How many numbers the model has."""
        return sum(math.prod(shape) for shape in self.tensors.values())

    @property
    def is_alike(self) -> bool:
        """Whether every two layers have the same weights as the two before."""
        sizes: dict[int, int] = {}
        for name, shape in self.tensors.items():
            number = self.of_layer(name)
            if number is not None:
                sizes[number] = sizes.get(number, 0) + math.prod(shape)
        return self.layers > 2 and all(size == sizes.get(number % 2) for number, size in sizes.items())

    def of_layer(self, name: str) -> int | None:
        """Give the number of the layer a tensor belongs to, None for one of none: the first number in its name."""
        return next((int(part) for part in name.split(".") if part.isdigit()), None)
