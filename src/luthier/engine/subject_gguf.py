"""A GGUF file, as a certificate looks at it."""

import contextlib
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, GgufConfig

from luthier import sidecar
from luthier.artifact import atomic
from luthier.engine.draw import Draw
from luthier.engine.local import LocalModel
from luthier.engine.subject import Ids, TorchSubject
from luthier.errors import ModelError
from luthier.model.load import silence
from luthier.model.template import Template

GGUF_CHILD = Path(__file__).with_name("gguf_child.py")


class GgufSubject:
    """A GGUF file. Logits: its weights widened again, computed by transformers; answers: llama.cpp's, where the tool
    `xllamacpp` is set up (it says so in `by`), else by transformers too."""

    def __init__(self, path: Path, project: Path, work: Path, template: Template) -> None:
        silence()
        try:
            with contextlib.redirect_stderr(io.StringIO()):  # one of its bars cannot be switched off
                model = AutoModelForCausalLM.from_pretrained(
                    path.parent,
                    gguf_file=path.name,
                    quantization_config=GgufConfig(dequantize=True),
                    dtype=torch.float32,
                )
        except Exception as error:  # gguf, numpy and transformers each raise their own for a file that is not whole
            raise ModelError(
                f"the GGUF will not load: {str(error).strip().splitlines()[-1]}",
                where=str(path),
                mend="make it again; a model of another architecture can be made kind=openvino-q8",
            ) from error
        self._torch_subject = TorchSubject(LocalModel(model.eval(), template, name=path.name, draw=Draw()))
        self._path, self._project, self._work = path, project, work
        self._has_llama = sidecar.is_ready(project, "xllamacpp")
        answers = "answers by llama.cpp (xllamacpp)" if self._has_llama else "not loaded in llama.cpp"
        self.by = f"the file's weights widened, {self._torch_subject.by}; {answers}"

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Give the logits after each token, (T, V)."""
        return self._torch_subject.logits(ids)

    def answer(self, prompts: Sequence[Ids], count: int) -> list[Ids]:
        """Answer one prompt after the other."""
        if not self._has_llama:
            return self._torch_subject.answer(prompts, count)
        found: list[Ids] = self.ask(prompts, count, [])["answers"]
        return found

    def ids(self, texts: Sequence[str]) -> list[Ids] | None:
        """Give the ids llama.cpp makes of texts, or None where it is not here."""
        found: list[Ids] | None = self.ask([], 1, texts)["ids"] if self._has_llama else None
        return found

    @property
    def template(self) -> str:
        """The chat template inside."""
        field = gguf.GGUFReader(self._path).fields["tokenizer.chat_template"]
        return str(field.contents())

    def ask(self, prompts: Sequence[Ids], count: int, texts: Sequence[str]) -> dict[str, Any]:
        """Ask llama.cpp in a process of its own: a file that is not whole may end it."""
        asked, told = self._work / "asked.json", self._work / "told.json"
        atomic.write_json(asked, {"prompts": list(prompts), "count": count, "texts": list(texts)})
        sidecar.call(self._project, "xllamacpp", [str(GGUF_CHILD), str(self._path.absolute()), str(asked), str(told)])
        found: dict[str, Any] = json.loads(told.read_text(encoding="utf-8"))
        return found
