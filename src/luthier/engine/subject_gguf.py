"""A GGUF file, as a certificate looks at it."""

import contextlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModelForCausalLM, GgufConfig

from luthier.engine.draw import Draw
from luthier.engine.local import LocalModel
from luthier.engine.served import open_served
from luthier.engine.subject import Ids, TorchSubject
from luthier.errors import ModelError
from luthier.model.load import silence
from luthier.model.template import Template

TOLD = 100
"""How many of the likeliest tokens llama.cpp is asked for at a place; of a token not among them, the last one's
log-probability is taken, which is more than its own."""


class GgufSubject:
    """A GGUF file. Its weights widened again, computed by transformers, give the logits that llama.cpp does not show;
    answers, token ids and log-probabilities are those of the llama.cpp server that serves it."""

    def __init__(self, path: Path, project: Path, template: Template) -> None:
        """Open both. Raises ModelError for a file that will not load, ToolError where the server is not set up."""
        self._path = path
        self._whole = int(template.tokenizer("a", add_special_tokens=False)["input_ids"][0])
        self._server = open_served("xllamacpp", project, path.parent, name=path.name)
        try:
            self._widened = TorchSubject(LocalModel(_widen(path), template, name=path.name, draw=Draw()))
        except BaseException:
            self._server.close()
            raise
        self.by = f"llama.cpp's server (xllamacpp); logits: the file's weights widened, {self._widened.by}"

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Give the logits after each token, (T, V)."""
        return self._widened.logits(ids)

    def answer(self, prompts: Sequence[Ids], count: int) -> list[Ids]:
        """Answer as many prompts at once as the server takes."""
        return self._at_once(lambda prompt: list(self._complete(prompt, count)["tokens"]), prompts)

    def told(self, rows: Sequence[tuple[Ids, Ids]]) -> list[list[float]]:
        """Give llama.cpp's own log-probability of each token of given answers, after the prompt and those before."""
        return self._at_once(lambda row: [self._likely(row[0], row[1], place) for place in range(len(row[1]))], rows)

    def ids(self, texts: Sequence[str]) -> list[Ids]:
        """Give the ids llama.cpp makes of texts."""
        wish = {"add_special": False, "parse_special": True}
        return [list(self._server.post("/tokenize", {"content": text, **wish})["tokens"]) for text in texts]

    @property
    def template(self) -> str:
        """The chat template inside."""
        return str(gguf.GGUFReader(self._path).fields["tokenizer.chat_template"].contents())

    def close(self) -> None:
        """Stop the server."""
        self._server.close()

    def _likely(self, prompt: Ids, answer: Ids, place: int) -> float:
        # it tells nothing where the token it says is a part of a character: so let it say one that is none, by a bias,
        # which the log-probabilities do not hold
        wish = {"n_probs": TOLD, "logit_bias": [[self._whole, 1000.0]]}
        found = self._complete([*prompt, *answer[:place]], 1, **wish)["completion_probabilities"][0]
        top = {int(one["id"]): float(one["logprob"]) for one in found["top_logprobs"]}
        return top.get(answer[place], min(top.values()))

    def _complete(self, prompt: Ids, count: int, **more: Any) -> Any:
        wish = {"n_predict": count, "temperature": 0, "return_tokens": True, **more}
        return self._server.post("/completion", {"prompt": prompt, **wish})

    def _at_once(self, ask: Any, asked: Sequence[Any]) -> list[Any]:
        with ThreadPoolExecutor(self._server.at_once) as pool:
            return list(pool.map(ask, asked))


def _widen(path: Path) -> Any:
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
    return model.eval()
