"""Which engine answers for which model: the table, and the choice by it."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from luthier.errors import ToolError

ANY = "any"


@dataclass(frozen=True)
class Engine:
    """One row."""

    about: str
    runs: str
    """Where it runs: in this process, as a process of ours, or behind a URL."""
    devices: tuple[str, ...]
    architectures: str
    weights: tuple[str, ...]
    """The forms of weights it loads."""
    adapters: str
    at_once: str
    """How it answers several requests at the same time."""
    scores: str
    """Whether it tells how likely given tokens are, which multiple choice and perplexity need."""
    takes: str
    """`module:NAME` of the names of Sampling's fields that it heeds."""
    needs: str = ""
    """What must be installed, and how."""

    def heeds(self) -> frozenset[str]:
        """Load what it heeds of a request."""
        module, _, name = self.takes.partition(":")
        found: frozenset[str] = getattr(import_module(module), name)
        return found


ENGINES: Mapping[str, Engine] = {
    "transformers": Engine(
        about="transformers' modelling code, our own loop",
        runs="in this process",
        devices=(ANY,),
        architectures="every causal model that transformers loads",
        weights=("safetensors", "bitsandbytes 8 and 4 bits", "compressed-tensors", "torchao 8 bits"),
        adapters="every method of PEFT, beside the weights",
        at_once="batches; streams one after another",
        scores="yes",
        takes="luthier.engine.local:TAKES",
    ),
    "openvino": Engine(
        about="openvino-genai's continuous batches",
        runs="a process of ours",
        devices=("cpu",),
        architectures="full attention, rotary angles of a fixed length (Llama, Qwen2, Qwen3, Mistral, ...)",
        weights=("openvino-f32", "openvino-bf16", "openvino-q8", "openvino-int8", "openvino-int4"),
        adapters="LoRA, in a pipeline of its own",
        at_once="16 streams, 64 rows of a batch",
        scores="yes, without an adapter",
        takes="luthier.engine.openvino:TAKES",
        needs="pip install 'luthier[cpu]'",
    ),
    "vllm": Engine(
        about="vLLM's server",
        runs="a server of ours",
        devices=("cuda", "rocm", "xpu", "cpu"),
        architectures="every causal model that vLLM loads",
        weights=("safetensors", "compressed-tensors", "GPTQ", "AWQ", "bitsandbytes 4 bits"),
        adapters="LoRA, several on one base, put and taken while it runs",
        at_once="as many as its memory allows",
        scores="no",
        takes="luthier.engine.served:TAKES",
        needs="luthier setup vllm",
    ),
    "xllamacpp": Engine(
        about="llama.cpp's server",
        runs="a server of ours",
        devices=("cpu",),
        architectures="every model with a GGUF",
        weights=("GGUF of any kind",),
        adapters="none here: merge first",
        at_once="8 streams",
        scores="no",
        takes="luthier.engine.served:LLAMA_TAKES",
        needs="luthier setup xllamacpp",
    ),
    "remote": Engine(
        about="any server that speaks the OpenAI API",
        runs="behind a URL",
        devices=(ANY,),
        architectures="whatever the server has",
        weights=("whatever the server has",),
        adapters="as models of the server",
        at_once="4 requests",
        scores="no",
        takes="luthier.engine.remote:TAKES",
    ),
}
CHOICES = ("auto", "transformers", "openvino", "vllm", "xllamacpp")
"""What may be asked for by name; a remote server is named by its URL."""


@dataclass(frozen=True)
class Facts:
    """What the choice goes by."""

    device: str
    made: bool
    """Whether the CPU engine's form of the model is there."""
    adapter: Mapping[str, Any] | None = None
    """The adapter's config, if there is one."""


@dataclass(frozen=True)
class Chosen:
    """An engine, and the reason."""

    name: str
    why: str


def choose_engine(wanted: str, facts: Facts) -> Chosen:
    """Give the engine for a model folder of safetensors. Raises ToolError for one that is not installed."""
    if wanted != "auto":
        check_installed(wanted)
        return Chosen(wanted, "asked for")
    if facts.device != "cpu":
        return Chosen("transformers", f"the device is {facts.device} (--engine vllm is a server of its own)")
    method = str((facts.adapter or {}).get("peft_type", "LORA"))
    if method != "LORA" or (facts.adapter or {}).get("use_dora"):
        kind = "DoRA" if method == "LORA" else method
        return Chosen("transformers", f"its adapter is {kind}, and the CPU engine puts on plain LoRA only")
    if find_spec("openvino_genai") is None:
        return Chosen("transformers", f"openvino-genai is not installed ({ENGINES['openvino'].needs})")
    if not facts.made:
        return Chosen("transformers", "the CPU engine's form of it is not made yet (--engine openvino makes it first)")
    return Chosen("openvino", "on a CPU it answers several at once, and its form of the model is there")


def check_installed(name: str) -> None:
    """Raise ToolError for an engine whose package is missing; a server's environment is looked for when it starts."""
    if name == "openvino" and find_spec("openvino_genai") is None:
        raise ToolError(
            "the CPU engine needs openvino-genai", where="--engine openvino", mend=f"{ENGINES['openvino'].needs}"
        )
