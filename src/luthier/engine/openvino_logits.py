"""A graph's own logits, through OpenVINO's runtime. It loads no torch. Letters: T tokens, V vocabulary."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino

from luthier.engine.openvino_core import core
from luthier.measure.likeness import log_softmax

PIECE = 128
"""Tokens taken at a time, the past kept as state in the graph: 25 MB of logits at a vocabulary of 49,152."""


class Graph:
    """The graph of a folder made by `quantize kind=openvino-*`, opened as its pipeline is."""

    def __init__(self, folder: Path, properties: Mapping[str, Any]) -> None:
        compiled = core().compile_model(folder / "openvino_model.xml", "CPU", dict(properties))
        self._request = compiled.create_infer_request()
        self._can_keep = (
            properties.get("KV_CACHE_PRECISION") == "f32"
        )  # a narrower past is rounded anew where it is cut
        self._past: list[int] = []
        """The ids that were read last."""

    def logits(self, ids: Sequence[int], kept: int = 0) -> Iterator[npt.NDArray[np.float32]]:
        """Give the logits after each token, (T, V), piece by piece; but for the first ones that were kept."""
        if not kept:
            self._request.reset_state()
        for begin in range(kept, len(ids), PIECE):
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
            self._past = list(ids[:end])
            yield np.array(found["logits"][0], np.float32)

    def score(self, ids: Sequence[int], places: Sequence[int], targets: Sequence[int]) -> Iterator[list[float]]:
        """Give how likely each target is after the token at its place, in nats, piece by piece; places ascend.

        Where these ids begin like the last ones (solved rows before a question), that is not read again.
        """
        place_S, target_S = np.asarray(places), np.asarray(targets)
        begin = self._keep(ids, min(places))
        for logits_TV in self.logits(ids[: max(places) + 1], begin):
            here = (place_S >= begin) & (place_S < begin + len(logits_TV))
            rows, which = np.unique(place_S[here] - begin, return_inverse=True)
            begin += len(logits_TV)
            yield log_softmax(logits_TV[rows].astype(np.float64))[which, target_S[here]].tolist()

    def _keep(self, ids: Sequence[int], most: int) -> int:
        """Cut the past down to what `ids` begin with alike, at most so many; give how many tokens that is.

        Whole pieces are kept, so that what follows are the very sums of reading all anew.
        """
        pairs = enumerate(zip(ids, self._past, strict=False))
        alike = next((place for place, (one, other) in pairs if one != other), min(len(ids), len(self._past)))
        kept = min(alike, most) // PIECE * PIECE if self._can_keep else 0
        if 0 < kept < len(self._past):
            for state in self._request.query_state():  # each (1, heads, T, width)
                state.state = openvino.Tensor(np.ascontiguousarray(state.state.data[:, :, :kept]))
        self._past = list(ids[:kept])
        return kept
