"""What is done to logits before a token is drawn from them. Letters: V vocabulary, S tokens seen.

Order of the steps as in transformers and vLLM: bias, repetition penalty, frequency and presence penalty, no early end.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from luthier.engine.draw import Draw
from luthier.engine.ports import Likely


def adjust(logits_V: Tensor, draw: Draw, prompt_ids: Sequence[int], said_ids: Sequence[int]) -> Tensor:
    """Give the logits after bias and penalties.

    The repetition penalty counts the prompt (arXiv:1909.05858), the other two only what was said: a token said c
    times loses c times the frequency penalty, and once the presence penalty. Source: OpenAI's API reference.
    """
    if draw.logit_bias:
        ids_S, bias_S = zip(*draw.logit_bias, strict=True)
        logits_V = logits_V.index_add(0, torch.tensor(ids_S), torch.tensor(bias_S, dtype=logits_V.dtype))
    if draw.repetition_penalty != 1:
        ids = torch.tensor(sorted({*prompt_ids, *said_ids}))
        chosen_S = logits_V[ids]
        penalty = draw.repetition_penalty
        logits_V = logits_V.index_copy(0, ids, torch.where(chosen_S < 0, chosen_S * penalty, chosen_S / penalty))
    if (draw.frequency_penalty or draw.presence_penalty) and said_ids:
        counts = Counter(said_ids)
        less_S = torch.tensor([-draw.presence_penalty - draw.frequency_penalty * count for count in counts.values()])
        logits_V = logits_V.index_add(0, torch.tensor(list(counts)), less_S)
    return logits_V


def without(logits_V: Tensor, ids: Iterable[int]) -> Tensor:
    """Give the logits with these tokens ruled out, unless nothing else is allowed."""
    barred_V = logits_V.index_fill(0, torch.tensor(sorted(ids), dtype=torch.long), -torch.inf)
    return barred_V if bool(barred_V.isfinite().any()) else logits_V


def likely(logits_V: Tensor, token_id: int, top: int) -> Likely:
    """Give how likely a token was, and the `top` likeliest; what was ruled out is not among them."""
    logprobs_V = logits_V.float().log_softmax(dim=-1)
    found = logprobs_V.topk(min(top, len(logprobs_V)))
    best = zip(found.indices.tolist(), found.values.tolist(), strict=True)
    return Likely(token_id, float(logprobs_V[token_id]), tuple(one for one in best if one[1] > -torch.inf))
