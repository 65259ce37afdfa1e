"""A model as a certificate looks at it: its logits over given tokens, its greedy answers. One class for each engine.

Letters: T tokens, V vocabulary.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import torch
import transformers

from luthier.engine.draw import Draw
from luthier.engine.local import LocalModel
from luthier.engine.ports import Sampling
from luthier.model.load import load_adapted, load_causal
from luthier.model.template import open_template

Ids = list[int]


class Subject(Protocol):
    """What is held against a reference."""

    by: str
    """What computed it, and in which number format."""

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Give the logits after each token, (T, V)."""

    def answer(self, prompts: Sequence[Ids], count: int) -> list[Ids]:
        """Answer greedily with at most so many tokens each, all prompts at once where the engine can."""


@runtime_checkable
class Telling(Protocol):
    """A subject whose engine shows no logits, but tells how likely given tokens are."""

    def told(self, rows: Sequence[tuple[Ids, Ids]]) -> list[list[float]]:
        """Give the natural log-probability of each token of the answers of (prompt, answer)."""


class TorchSubject:
    """A model that transformers runs."""

    def __init__(self, engine: LocalModel) -> None:
        self._engine = engine
        dtype = str(engine.model.dtype).rpartition(".")[2]
        self.by = f"transformers {transformers.__version__}, {dtype} on {engine.model.device.type}"

    @torch.inference_mode()
    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Give the logits after each token, (T, V)."""
        model = self._engine.model
        found = model(input_ids=torch.tensor([ids], device=model.device), use_cache=False).logits[0]
        logits: npt.NDArray[np.float32] = found.float().cpu().numpy()
        return logits

    def answer(self, prompts: Sequence[Ids], count: int) -> list[Ids]:
        """Answer in one padded batch."""
        asked = [tuple(prompt) for prompt in prompts]
        return [list(found.token_ids) for found in self._engine.answer(asked, Sampling(count, temperature=0.0))]


def open_torch(
    folder: Path,
    *,
    adapter: Path | None = None,
    dtype: str = "float32",
    device: str,
    trusted: bool,
    quantize: str = "none",
) -> TorchSubject:
    """Open a model folder, or an adapter on one whose weights are narrowed as they were while it learned."""
    model = load_causal(folder, dtype=dtype, device=device, trust_remote_code=trusted, quantize=quantize)
    if adapter is not None:
        model = load_adapted(model, adapter)
    return TorchSubject(LocalModel(model, open_template(folder), name=folder.name, draw=Draw()))


def timed(subject: Subject, prompts: Sequence[Ids], count: int) -> tuple[list[Ids], float]:
    """Give the greedy answers, and how many of their tokens came a second (a first short round is not counted)."""
    subject.answer(prompts[:1], 2)
    begun = time.perf_counter()
    answers = subject.answer(prompts, count)
    return answers, sum(len(answer) for answer in answers) / (time.perf_counter() - begun)
