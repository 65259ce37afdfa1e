"""Weights in parts: each process holds its share of every layer and gathers a layer only while it computes.

FSDP2 does it (Zhao et al. 2023, arXiv:2304.11277; torch.distributed.fsdp.fully_shard). Adapters are small and stay
whole in every process, as do their gradients and their optimizer; what is cut is the model below them.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import distribute_tensor

from luthier.errors import ModelError


class Root(nn.Module):
    """The outermost module: what runs in its forward pass finds embeddings, norms and head whole, the layers by turns.

    An objective computes with the decoder and the head, never with the whole model's forward pass: so the work comes
    in as a function.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, work: Callable[[], Any]) -> Any:
        """Run the work."""
        return work()


def shard(model: Any, device: str, size: int, *, whole: bool, dtype: torch.dtype, offload: bool) -> Root:
    """Cut a model's weights over all processes. Gives the module to compute in.

    `whole`: parameters that are trained stay whole everywhere, only frozen ones are cut; else all are, are computed
    in `dtype`, and their gradients are summed in float32. `offload`: what is not computed lies in main memory.
    Raises ModelError for a model whose layers cannot be told apart.
    """
    kind = device.partition(":")[0]
    mesh = init_device_mesh(kind, (size,))
    kept = {parameter for parameter in model.parameters() if whole and parameter.requires_grad}
    for parameter in kept:
        parameter.data = parameter.data.to(device)
    precision = MixedPrecisionPolicy() if whole else MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    policy = CPUOffloadPolicy(pin_memory=kind == "cuda") if offload else OffloadPolicy()
    root = Root(model)
    for module in (*_layers(model), root):
        cut = fully_shard(module, mesh=mesh, mp_policy=precision, offload_policy=policy, ignored_params=kept)
        # sums, not means: the loop divides by the weight of all rows of the step
        cut.set_gradient_divide_factor(1.0)
        cut.set_force_sum_reduction_for_comms(True)
    return root


def _layers(model: Any) -> list[nn.Module]:
    count = int(model.config.get_text_config().num_hidden_layers)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return list(module)
    raise ModelError(
        f"no list of {count} layers was found in the model", where="key learn.shard", mend="set learn.shard=none"
    )


def gathered(tensor: Tensor) -> Tensor:
    """Give the whole of a tensor, on the processor; every process has to ask where it is in parts."""
    whole = tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor
    return whole.detach().cpu().contiguous()


def scattered(whole: Tensor, like: Tensor) -> Tensor:
    """Give this process's part of a tensor that all of them hold, cut as another is."""
    if not hasattr(like, "full_tensor"):
        return whole.to(like.device)
    spread: Any = like
    return distribute_tensor(whole.to(like.device), spread.device_mesh, spread.placements, src_data_rank=None)


@torch.no_grad()
def put_back(named: Mapping[str, nn.Parameter], weights: Mapping[str, Tensor]) -> None:
    """Copy whole weights into parameters that may be in parts."""
    for name, tensor in weights.items():
        named[name].copy_(scattered(tensor, named[name]))
