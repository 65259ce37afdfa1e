"""A folder with an OpenVINO graph, as a certificate looks at it."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino
import openvino_genai

from luthier.engine.openvino_core import has_bfloat16
from luthier.engine.openvino_logits import Graph
from luthier.engine.subject import Ids


class OpenvinoSubject:
    """A folder with an OpenVINO graph: logits through the runtime, answers through the pipeline that serves it."""

    def __init__(self, folder: Path, stop_ids: frozenset[int]) -> None:
        self._folder, self._stop_ids = folder, set(stop_ids)
        self._properties = json.loads((folder / "engine.json").read_text(encoding="utf-8"))["properties"]
        self._graph: Graph | None = None
        self._pipeline: Any = None
        precision = self._properties["INFERENCE_PRECISION_HINT"] if has_bfloat16() else "float32"
        self.by = f"OpenVINO {openvino.__version__.partition('-')[0]}, {precision}"

    def logits(self, ids: Ids) -> npt.NDArray[np.float32]:
        """Give the logits after each token, (T, V)."""
        self._graph = self._graph or Graph(self._folder, self._properties)
        return np.concatenate(list(self._graph.logits(ids)))

    def answer(self, prompts: Sequence[Ids], count: int) -> list[Ids]:
        """Answer with one request for each prompt, all at once."""
        if self._pipeline is None:
            scheduler = openvino_genai.SchedulerConfig()
            scheduler.cache_size = 1
            self._pipeline = openvino_genai.ContinuousBatchingPipeline(self._folder, scheduler, "CPU", self._properties)
        config = openvino_genai.GenerationConfig(max_new_tokens=count, do_sample=False)
        config.stop_token_ids = self._stop_ids
        tensors = [openvino.Tensor(np.array([prompt], np.int64)) for prompt in prompts]
        found = self._pipeline.generate(tensors, [config] * len(tensors))
        return [list(one.m_generation_ids[0]) for one in found]
