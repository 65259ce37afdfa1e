"""How a token is drawn: as transformers draws it, with the defaults the model folder gives."""

import json
from pathlib import Path

import pytest
import torch
from transformers import (
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from luthier.engine.draw import Draw, likelihoods, pick, read_defaults, settle
from luthier.engine.ports import Sampling
from luthier.errors import DataError, ModelError

LOGITS = torch.randn(3, 50, generator=torch.Generator().manual_seed(1)) * 3

VOCABULARY = 50


@pytest.mark.parametrize("draw", [Draw(0.7), Draw(1.5, top_k=5), Draw(1.0, top_p=0.8), Draw(0.9, 0.6, 20)], ids=str)
def test_likelihoods_are_those_of_transformers(draw: Draw) -> None:
    ids = torch.zeros(1, 1, dtype=torch.long)
    scores = TemperatureLogitsWarper(draw.temperature)(ids, LOGITS[:1])
    if draw.top_k:
        scores = TopKLogitsWarper(draw.top_k)(ids, scores)
    if draw.top_p < 1:
        scores = TopPLogitsWarper(draw.top_p)(ids, scores)
    ours = likelihoods(LOGITS[0], draw)
    assert torch.allclose(ours / ours.sum(), scores[0].softmax(-1), atol=1e-6)


def test_temperature_0_takes_the_likeliest() -> None:
    found = [pick(logits_V, Draw(), torch.Generator()) for logits_V in LOGITS]
    assert found == LOGITS.argmax(-1).tolist()


def test_draws_follow_the_likelihoods() -> None:
    generator = torch.Generator().manual_seed(5)
    drawn = torch.tensor([pick(LOGITS[0], Draw(1.0, top_k=4), generator) for _ in range(4000)])
    share = torch.bincount(drawn, minlength=VOCABULARY) / 4000
    assert torch.allclose(share, likelihoods(LOGITS[0], Draw(1.0, top_k=4)), atol=0.03)


def write(folder: Path, **said: object) -> Path:
    (folder / "generation_config.json").write_text(json.dumps(said))
    return folder


def test_without_a_file_a_model_is_greedy(tmp_path: Path) -> None:
    assert read_defaults(tmp_path) == (Draw(), {})


def test_the_file_decides_only_if_it_says_do_sample(tmp_path: Path) -> None:
    assert read_defaults(write(tmp_path, temperature=0.7, top_p=0.8, top_k=20))[0] == Draw(0.0, 0.8, 20)
    assert read_defaults(write(tmp_path, temperature=0.7, top_p=0.8, do_sample=True))[0] == Draw(0.7, 0.8)
    assert read_defaults(write(tmp_path, do_sample=True))[0] == Draw(1.0)


def test_settings_the_engine_lacks_are_given_back_unless_they_change_nothing(tmp_path: Path) -> None:
    folder = write(tmp_path, repetition_penalty=1.05, num_beams=1, no_repeat_ngram_size=3)
    assert read_defaults(folder) == (Draw(repetition_penalty=1.05), {"no_repeat_ngram_size": 3})


@pytest.mark.parametrize("text", ["{", "[1]", '{"do_sample": true, "temperature": "hot"}'])
def test_a_file_that_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "generation_config.json").write_text(text)
    with pytest.raises(ModelError, match="cannot be used") as caught:
        read_defaults(tmp_path)
    assert caught.value.where == str(tmp_path / "generation_config.json")
    assert "mend the file, or remove it" in caught.value.mend


def test_a_request_comes_before_the_defaults() -> None:
    assert settle(Sampling(temperature=0.0), Draw(0.7, 0.8, 20, 1.1), VOCABULARY) == Draw(0.0, 0.8, 20, 1.1)
    wishes = Sampling(temperature=1.0, top_p=0.5, top_k=0, repetition_penalty=1.0, min_tokens=2)
    assert settle(wishes, Draw(0.7, 0.8, 20, 1.2, min_tokens=4), VOCABULARY) == Draw(1.0, 0.5, 0, min_tokens=2)


def test_the_least_length_of_the_file_gives_way_to_the_most_of_the_request(tmp_path: Path) -> None:
    defaults, lacking = read_defaults(write(tmp_path, min_new_tokens=9))
    assert (defaults, lacking) == (Draw(min_tokens=9), {})
    assert settle(Sampling(max_tokens=4), defaults, VOCABULARY).min_tokens == 4


@pytest.mark.parametrize(
    ("sampling", "key", "mend"),
    [
        (Sampling(temperature=-1.0), "temperature", "0 or more"),
        (Sampling(temperature=float("nan")), "temperature", "0 or more"),
        (Sampling(temperature=float("inf")), "temperature", "0 or more"),
        (Sampling(top_p=0.0), "top_p", "above 0"),
        (Sampling(top_p=1.5), "top_p", "at most 1"),
        (Sampling(top_k=-1), "top_k", "0 (all) or more"),
        (Sampling(max_tokens=0), "max_tokens", "1 or more"),
        (Sampling(stop=("",)), "stop", "not empty"),
        (Sampling(repetition_penalty=0.0), "repetition_penalty", "more than 0"),
        (Sampling(presence_penalty=float("nan")), "presence_penalty", "a number"),
        (Sampling(frequency_penalty=float("inf")), "frequency_penalty", "a number"),
        (Sampling(logit_bias=((3, 1.0), (50, 1.0))), "logit_bias", "from 0 to 49"),
        (Sampling(logit_bias=((3, float("nan")),)), "logit_bias", "numbers"),
        (Sampling(max_tokens=3, min_tokens=4), "min_tokens", "up to max_tokens"),
        (Sampling(min_tokens=-1), "min_tokens", "0 up"),
        (Sampling(top_logprobs=-1), "top_logprobs", "0 or more"),
        (Sampling(prompt_logprobs=-1), "prompt_logprobs", "0 or more"),
        (Sampling(max_seconds=0.0), "max_seconds", "more than 0"),
        (Sampling(max_seconds=float("nan")), "max_seconds", "more than 0"),
    ],
    ids=str,
)
def test_a_wish_out_of_range_is_refused(sampling: Sampling, key: str, mend: str) -> None:
    with pytest.raises(DataError) as caught:
        settle(sampling, Draw(), VOCABULARY)
    assert caught.value.where == f"key {key}"
    assert mend in caught.value.mend
