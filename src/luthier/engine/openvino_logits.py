"""A graph's own logits, through OpenVINO's runtime. It loads no torch. Letters: T tokens, V vocabulary."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.engine.openvino_core import core
from luthier.measure.likeness import log_softmax

PIECE = 128
"""Tokens taken at a time, the past kept as state in the graph: 25 MB of logits at a vocabulary of 49,152."""


class Graph:
    """The graph of a folder made by `quantize kind=openvino-*`, opened as its pipeline is."""

    def __init__(self, folder: Path, properties: Mapping[str, Any]) -> None:
        compiled = core().compile_model(folder / "openvino_model.xml", "CPU", dict(properties))
        self._request = compiled.create_infer_request()

    def logits(self, ids: Sequence[int]) -> Iterator[npt.NDArray[np.float32]]:
        """Give the logits after each token, (T, V), piece by piece."""
        self._request.reset_state()
        for begin in range(0, len(ids), PIECE):
            part = np.array([ids[begin : begin + PIECE]], np.int64)
            end = begin + part.shape[1]
            found = self._request.infer(
                {
                    "input_ids": part,
                    "attention_mask": np.ones((1, end), np.int64),
                    "position_ids": np.arange(begin, end, dtype=np.int64)[None],
                    "beam_idx": np.zeros(1, np.int32),
                }
            )
            yield np.array(found["logits"][0], np.float32)

    def score(self, ids: Sequence[int], places: Sequence[int], targets: Sequence[int]) -> Iterator[list[float]]:
        """Give how likely each target is after the token at its place, in nats, piece by piece; places ascend."""
        place_S, target_S = np.asarray(places), np.asarray(targets)
        for number, logits_TV in enumerate(self.logits(ids[: max(places) + 1])):
            begin = number * PIECE
            here = (place_S >= begin) & (place_S < begin + len(logits_TV))
            rows, which = np.unique(place_S[here] - begin, return_inverse=True)
            yield log_softmax(logits_TV[rows].astype(np.float64))[which, target_S[here]].tolist()
