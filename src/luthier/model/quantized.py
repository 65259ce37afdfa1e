"""Weights in 4 or 8 bits: made so while a model is read, or come so; adapters are trained on them as they are."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from luthier.errors import SpecError, ToolError
from luthier.model.template import read_config


@dataclass(frozen=True)
class Kind:
    """One row: what transformers is asked for."""

    config: Callable[[Any], Any]
    """Takes the torch dtype to compute in."""
    weight_bytes: float
    """Bytes of one weight of a linear layer, its scales included."""
    about: str
    package: str = "bitsandbytes"
    """What makes it, and reads it."""


def _nf4(dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _int8(dtype: Any) -> Any:
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(load_in_8bit=True)


def _torchao(dtype: Any) -> Any:
    from torchao.quantization import Int8WeightOnlyConfig
    from transformers import TorchAoConfig

    return TorchAoConfig(Int8WeightOnlyConfig())


KINDS: dict[str, Kind] = {
    # 4 bits, an 8-bit scale for each 64 weights, a float for each 256 of these (arXiv:2305.14314, section 3)
    "nf4": Kind(_nf4, 0.5 + 1 / 64 + 4 / (64 * 256), "4-bit NormalFloat with doubly quantised scales: QLoRA"),
    "int8": Kind(_int8, 1.0, "8-bit integers, outlier columns apart (arXiv:2208.07339)"),
}
"""On these an adapter can learn."""
WRITTEN: dict[str, Kind] = {
    **KINDS,
    "torchao": Kind(_torchao, 1.0, "8-bit integers with a scale for each output", package="torchao"),
}
"""In these a model can be written."""
PACKAGES = {
    "bitsandbytes": "bitsandbytes",
    "torchao": "torchao",
    "gptq": "gptqmodel",
    "awq": "gptqmodel",
    "compressed-tensors": "compressed_tensors",
}
"""What a base that comes quantised needs to be opened: its quant_method -> the package."""
EXTRAS = {"bitsandbytes": "quantize", "compressed-tensors": "quantize", "torchao": "torchao"}
"""The extra that brings such a package."""
DEVICES = {"gptq": ("cuda",), "awq": ("cuda",)}
"""Where a kernel exists that gives gradients; others work anywhere."""


def quantization(folder: Path, quantize: str, dtype: str, device: str) -> dict[str, Any]:
    """Give what `from_pretrained` is told so that weights are narrow: nothing where they are not.

    Raises SpecError for a base that is quantised already and shall be so again, ToolError where its package or its
    device is not here.
    """
    own = read_config(folder).get("quantization_config")
    if own is not None:
        method = str(own.get("quant_method", "unknown"))
        if quantize != "none":
            raise SpecError(
                f"quantize is {quantize!r}, but the model's weights are quantised already ({method})",
                where="key quantize",
                mend="leave quantize out: adapters are trained on the weights as they are",
            )
        _check_able(method, device, folder)
        return {"device_map": {"": device}}
    if quantize == "none":
        return {}
    _check_able(WRITTEN[quantize].package, device, folder)
    import torch

    return {"quantization_config": WRITTEN[quantize].config(getattr(torch, dtype)), "device_map": {"": device}}


def _check_able(method: str, device: str, folder: Path) -> None:
    package = PACKAGES.get(method)
    if package is not None and find_spec(package) is None:
        raise ToolError(
            f"weights quantised by {method} need the package {package}, which is not installed",
            where=str(folder),
            mend=f"pip install 'luthier[{EXTRAS[method]}]'" if method in EXTRAS else f"pip install {package}",
        )
    able = DEVICES.get(method)
    if able is not None and device.partition(":")[0] not in able:
        raise ToolError(
            f"weights quantised by {method} can be trained on {' and '.join(able)} only, this run is on {device}",
            where=str(folder),
            mend="take the model in full precision and set quantize=nf4",
        )


def bars_hidden(folder: Path) -> AbstractContextManager[Any]:
    """Hide the bars that compressed-tensors draws while its weights are read, which cannot be switched off."""
    return redirect_stderr(io.StringIO()) if _is_packed(folder) else nullcontext()


def unpack(model: Any, folder: Path) -> None:
    """Let compressed-tensors widen its weights now; else it does at the first question, and draws bars then."""
    if _is_packed(folder):
        import torch

        with torch.inference_mode():
            model(input_ids=torch.zeros((1, 1), dtype=torch.long, device=model.device))


def _is_packed(folder: Path) -> bool:
    own = read_config(folder).get("quantization_config") or {}
    return bool(own.get("quant_method") == "compressed-tensors")


def keep_layout(model: Any) -> None:
    """Keep 4-bit weights as they lie: on a CPU bitsandbytes 0.50 would lay them out anew at the first question asked
    without gradients, which fails for sides that are no multiple of 64 and gives training and answering other sums."""
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
