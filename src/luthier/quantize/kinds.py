"""The kinds of narrower or other models, each a row: what makes it, which engine runs it, what it needs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

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
    options: Mapping[str, Any] = field(default_factory=dict)
    packages: tuple[str, ...] = ()
    """What must be importable, all from `extra`."""
    extra: str = ""

    @property
    def needs(self) -> str:
        """What must be here, for people."""
        return f"pip install 'luthier[{self.extra}]'" if self.extra else ""

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

KINDS: dict[str, Kind] = {
    "openvino-f32": Kind("the CPU engine, exact", options={"form": "f32"}, **_OPENVINO),
    "openvino-bf16": Kind("the CPU engine, half the size", options={"form": "bf16"}, **_OPENVINO),
    "openvino-q8": Kind(
        "the CPU engine, 8-bit weights with a scale for each 32 of them", options={"form": "q8"}, **_OPENVINO
    ),
}


def check_able(name: str) -> None:
    """Raise ToolError where a kind needs a package that is not installed."""
    kind = KINDS[name]
    missing = [package for package in kind.packages if find_spec(package) is None]
    if missing:
        raise ToolError(
            f"kind={name} needs the package {missing[0]}, which is not installed",
            where="key kind",
            mend=f"pip install 'luthier[{kind.extra}]'",
        )
