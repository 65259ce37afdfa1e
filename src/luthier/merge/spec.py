"""What one may ask of `merge`."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from luthier.spec import Spec


class MergeSpec(Spec):
    """How an adapter becomes part of its base, or several adapters or models become one."""

    more: tuple[str, ...] = ()
    """Ids of further adapters of the same base, or of further models of the same shape, merged with the first."""
    way: Literal["linear", "ties", "dare_linear", "dare_ties"] = "linear"
    """How several become one: their changes added; TIES (arXiv:2306.01708), DARE (arXiv:2311.03099), or both."""
    weights: tuple[float, ...] = ()
    """How much each counts, the first included; none: equal shares that add up to 1 (ties: 1 each)."""
    density: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of each change that ties and dare keep."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Draws what dare drops."""
    onto: Literal["auto", "full", "quantized"] = "auto"
    """Where the adapter learned on narrow weights (QLoRA): onto the full weights, or onto the narrow ones widened;
    auto: both are made and measured, and the better is kept."""
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    """Number format on disk; sums are float32 always. Half formats lose a part of what was learned."""
    refuse: bool = True
    """Refuse a merge whose certificate shows that it is not the adapter on its base; false keeps it."""
    trust_remote_code: bool = False
    """Run Python code that comes in the model's folder."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.weights and len(self.weights) != 1 + len(self.more):
            raise ValueError(f"should name {1 + len(self.more)} weights, one for each that is merged")
        if self.way != "linear" and not self.more:
            raise ValueError(f"should name further adapters with more=[ID, ...]: {self.way} merges several")
        return self
