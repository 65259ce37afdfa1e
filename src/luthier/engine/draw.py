"""How the next token is drawn. Letters: V vocabulary.

Order of the steps as in transformers: what changes the logits (`logits.py`), temperature, top-k, top-p.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from luthier.engine.ports import Sampling
from luthier.errors import DataError, ModelError

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "bad_words_ids": (None,),
    "encoder_repetition_penalty": (None, 1, 1.0),
    "epsilon_cutoff": (None, 0, 0.0),
    "eta_cutoff": (None, 0, 0.0),
    "exponential_decay_length_penalty": (None,),
    "forced_bos_token_id": (None,),
    "guidance_scale": (None, 1, 1.0),
    "min_p": (None, 0, 0.0),
    "no_repeat_ngram_size": (None, 0),
    "num_beams": (None, 1),
    "penalty_alpha": (None, 0, 0.0),
    "sequence_bias": (None,),
    "suppress_tokens": (None,),
    "typical_p": (None, 1, 1.0),
}
"""Settings of generation_config.json this engine lacks, with the values under which that changes nothing."""


@dataclass(frozen=True)
class Draw:
    """How a token is drawn, nothing left open."""

    temperature: float = 0.0
    """0: the likeliest token."""
    top_p: float = 1.0
    """Only the fewest tokens which together are this likely; 1: all."""
    top_k: int = 0
    """Only so many of the likeliest tokens; 0: all."""
    repetition_penalty: float = 1.0
    """Logits of tokens seen before are divided (if negative: multiplied) by this.

    Source: Keskar et al. 2019, arXiv:1909.05858.
    """
    min_tokens: int = 0
    """No end before so many new tokens."""
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()

    def plain(self) -> dict[str, float]:
        """Give what a model's own file may set as plain data; what changes nothing unless asked for is left out."""
        found = {name: getattr(self, name) for name in ("temperature", "top_p", "top_k", "repetition_penalty")}
        return found | ({"min_tokens": self.min_tokens} if self.min_tokens else {})

    @property
    def is_plain(self) -> bool:
        """Whether the likeliest token of the model's own logits is the one."""
        return (
            self.temperature == 0
            and self.repetition_penalty == 1
            and not (self.min_tokens or self.presence_penalty or self.frequency_penalty or self.logit_bias)
        )


def read_defaults(folder: Path) -> tuple[Draw, dict[str, Any]]:
    """Give what a model folder's generation_config.json asks for, and which of its settings this engine lacks.

    As in transformers, a model is greedy unless the file says `do_sample: true`. Raises ModelError if it is not JSON.
    """
    path = folder / "generation_config.json"
    if not path.exists():
        return Draw(), {}
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        drawn = bool(said.get("do_sample"))
        draw = Draw(
            temperature=float(said.get("temperature") or 1.0) if drawn else 0.0,
            top_p=float(said.get("top_p") or 1.0),
            top_k=int(said.get("top_k") or 0),
            repetition_penalty=float(said.get("repetition_penalty") or 1.0),
            min_tokens=int(said.get("min_new_tokens") or 0),
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(
            f"generation_config.json cannot be used: {error}",
            where=str(path),
            mend="mend the file, or remove it: without one the model answers greedily",
        ) from None
    return draw, {key: said[key] for key, neutral in NEUTRAL.items() if said.get(key) not in neutral}


def settle(sampling: Sampling, defaults: Draw, vocabulary: int) -> Draw:
    """Give how a request is drawn: its own wishes, the defaults where it has none. Raises DataError out of range."""
    penalty = sampling.repetition_penalty
    draw = Draw(
        temperature=defaults.temperature if sampling.temperature is None else sampling.temperature,
        top_p=defaults.top_p if sampling.top_p is None else sampling.top_p,
        top_k=defaults.top_k if sampling.top_k is None else sampling.top_k,
        repetition_penalty=defaults.repetition_penalty if penalty is None else penalty,
        min_tokens=sampling.min_tokens or min(defaults.min_tokens, sampling.max_tokens or defaults.min_tokens),
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        logit_bias=sampling.logit_bias,
    )
    check_wishes(sampling, draw, vocabulary)
    return draw


def check_wishes(sampling: Sampling, draw: Draw, vocabulary: int) -> None:
    """Raise DataError for a wish out of its range; every engine asks this before it begins."""
    most, seconds, finite = sampling.max_tokens, sampling.max_seconds, math.isfinite
    strange = next((one for one in draw.logit_bias if not (0 <= one[0] < vocabulary and finite(one[1]))), None)
    bounds = (
        ("temperature", draw.temperature, 0 <= draw.temperature < float("inf"), "0 or more"),
        ("top_p", draw.top_p, 0 < draw.top_p <= 1, "above 0 and at most 1"),
        ("top_k", draw.top_k, draw.top_k >= 0, "0 (all) or more"),
        ("max_tokens", most, most is None or most >= 1, "1 or more"),
        ("stop", "", all(sampling.stop), "texts that are not empty"),
        ("repetition_penalty", draw.repetition_penalty, 0 < draw.repetition_penalty < float("inf"), "more than 0"),
        ("presence_penalty", draw.presence_penalty, finite(draw.presence_penalty), "a number"),
        ("frequency_penalty", draw.frequency_penalty, finite(draw.frequency_penalty), "a number"),
        ("logit_bias", strange, strange is None, f"numbers to token ids from 0 to {vocabulary - 1}"),
        ("min_tokens", draw.min_tokens, 0 <= draw.min_tokens <= (most or draw.min_tokens), "0 up to max_tokens"),
        ("top_logprobs", sampling.top_logprobs, (sampling.top_logprobs or 0) >= 0, "0 or more"),
        ("prompt_logprobs", sampling.prompt_logprobs, (sampling.prompt_logprobs or 0) >= 0, "0 or more"),
        ("max_seconds", seconds, seconds is None or seconds > 0, "more than 0"),
    )
    for name, value, holds, mend in bounds:
        if not holds:
            raise DataError(f"{name} is {value!r}", where=f"key {name}", mend=f"give {mend}")


def pick(logits_V: Tensor, draw: Draw, generator: torch.Generator) -> int:
    """Give the next token, once logits are what they are to be: the likeliest, or one drawn by the generator."""
    if draw.temperature == 0:
        return int(logits_V.argmax())
    return int(torch.multinomial(likelihoods(logits_V, draw), 1, generator=generator))


def likelihoods(logits_V: Tensor, draw: Draw) -> Tensor:
    """Give how likely each token is drawn, shape (V,): temperature (above 0), then top-k, then top-p."""
    logits_V = (logits_V - logits_V.max()) / draw.temperature
    if 0 < draw.top_k < len(logits_V):
        bound = logits_V.topk(draw.top_k).values[-1]
        logits_V = logits_V.masked_fill(logits_V < bound, -torch.inf)
    likely_V = logits_V.softmax(dim=-1)
    if draw.top_p < 1:
        sorted_V, order_V = likely_V.sort(descending=True, stable=True)
        before_V = sorted_V.cumsum(dim=-1) - sorted_V
        likely_V = likely_V.index_fill(0, order_V[before_V >= draw.top_p], 0.0)
    return likely_V
