"""Log-probabilities of given tokens. Letters: B rows, T tokens, S supervised positions, D width, V vocabulary."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer

from luthier.artifact.tokens import Tokens
from luthier.engine.logits import likely
from luthier.engine.ports import Likely
from luthier.model.cache_word import cache_word

LEAST_SHARED = 64
"""Fewer tokens than that are not worth a pass of their own."""
CHUNK = 256
"""Supervised positions turned to float32 at a time: 50 MB at a vocabulary of 49,152."""


@torch.inference_mode()
def log_likelihoods(
    model: Any, rows: Sequence[Tokens], others: Sequence[Sequence[int]] = (), beginning: Any = None
) -> list[npt.NDArray[np.float64]]:
    """Give the natural log-probability of each supervised token of each row, by a float32 log-softmax.

    `others` names for each row more tokens that might have stood in its last place, which alone is supervised there
    (the options of a choice): theirs follow the row's own, out of the same pass.

    `beginning` is the cache of what stands before every row (see `begin`); it is left as it is.

    Rows are padded on the right: under a causal mask nothing real sees the padding. The head computes supervised
    positions only, so the [T, V] table of a row never exists; whatever the model does after its head (a soft cap, a
    scale) is done by the model itself.
    """
    width = max(len(row.ids) for row in rows)
    ids_BT = torch.zeros(len(rows), width, dtype=torch.long)
    wanted_BT = torch.zeros(len(rows), width, dtype=torch.bool)  # at the position that predicts the token
    for index, row in enumerate(rows):
        ids_BT[index, : len(row.ids)] = torch.from_numpy(row.ids.astype(np.int64))
        wanted_BT[index, : len(row.ids) - 1] = torch.from_numpy(row.mask[1:])
    own = ids_BT.roll(-1, dims=1)[wanted_BT].tolist()
    places: list[int] = []
    targets: list[int] = []
    counts: list[int] = []
    end = 0
    for row, also in zip(rows, others or [()] * len(rows), strict=True):
        begin, end = end, end + row.supervised
        places += [*range(begin, end), *[end - 1] * len(also)]
        targets += [*own[begin:end], *also]
        counts.append(row.supervised + len(also))
    place_S, target_S = (torch.tensor(side, dtype=torch.long, device=model.device) for side in (places, targets))
    seen: dict[str, Any] = {"use_cache": False}
    if beginning is not None:
        cache = copy.deepcopy(beginning)
        cache.batch_repeat_interleave(len(rows))
        seen = {"use_cache": True, cache_word(model): cache}
    with _head_sees(model, wanted_BT.to(model.device)):
        logits_SV = model(input_ids=ids_BT.to(model.device), **seen).logits
    found_S = [
        logits_SV[place_S[begin : begin + CHUNK]]
        .float()
        .log_softmax(dim=-1)
        .gather(1, target_S[begin : begin + CHUNK, None])
        .squeeze(1)
        for begin in range(0, len(target_S), CHUNK)
    ]
    values = torch.cat(found_S).double().cpu().numpy() if found_S else np.zeros(0)
    return list(np.split(values, np.cumsum(counts)[:-1]))


def shared_beginning(rows: Sequence[Tokens]) -> int:
    """Give how many tokens all rows begin with alike, up to the place that predicts their first supervised token.

    Solved examples before each question are an instance. 0 where computing them once would save little.
    """
    learned = [row for row in rows if row.supervised]
    if len(learned) < 2:
        return 0
    ids = learned[0].ids
    shared = min(int(row.mask.argmax()) - 1 for row in learned)
    for row in learned:
        apart = np.flatnonzero(row.ids[: max(0, shared)] != ids[: max(0, shared)])
        shared = int(apart[0]) if len(apart) else shared
    longest = max(len(row.ids) for row in learned)
    return shared if shared >= max(LEAST_SHARED, longest / 4) else 0


@torch.inference_mode()
def begin(model: Any, ids: npt.NDArray[np.int32]) -> Any:
    """Give the cache of one sequence; None where the model's cache is no plain one that can stand before other rows."""
    if hasattr(model, "get_base_model") and model.active_peft_config.is_prompt_learning:
        return None
    nothing_BT = torch.zeros(1, len(ids), dtype=torch.bool, device=model.device)
    given_BT = torch.from_numpy(ids.astype(np.int64))[None].to(model.device)
    with _head_sees(model, nothing_BT):
        cache = model(input_ids=given_BT, use_cache=True)[cache_word(model)]
    is_plain = isinstance(cache, DynamicCache) and all(type(layer) is DynamicLayer for layer in cache.layers)
    return cache if is_plain else None


@torch.inference_mode()
def prompt_likelihoods(model: Any, ids: Sequence[int], top: int) -> tuple[Likely, ...]:
    """Give how likely each token but the first was where it stands, with the `top` likeliest there.

    Fed CHUNK tokens at a time on a cache, so that a long prompt's [T, V] table never exists whole.
    """
    word = cache_word(model)
    cache: Any = None
    found: list[Likely] = []
    for begin in range(0, len(ids) - 1, CHUNK):
        part = torch.tensor([ids[begin : begin + CHUNK]], dtype=torch.long, device=model.device)
        done = model(input_ids=part, use_cache=True, **{word: cache})
        cache = done[word]
        follow = ids[begin + 1 : begin + 1 + CHUNK]
        found += [likely(logits_V.cpu(), token, top) for logits_V, token in zip(done.logits[0], follow, strict=False)]
    return tuple(found)


@contextmanager
def _head_sees(model: Any, wanted_BT: Tensor) -> Iterator[None]:
    """Let the output head see the hidden states at wanted positions only: (B, T, D) becomes (S, D)."""
    head = model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, given: (given[0][wanted_BT], *given[1:]))
    try:
        yield
    finally:
        hook.remove()
