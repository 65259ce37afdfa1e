"""The cache is handed over under the name this transformers uses: no warning, and the second step sees the first."""

import warnings

import torch

from luthier.artifact.store import Artifact
from luthier.model.cache_word import cache_word
from luthier.model.load import load_causal
from luthier.model.methods import Wishes, put_on


def test_a_step_with_the_cache_gives_the_logits_of_the_whole(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    ids = torch.arange(5, 25)[None]
    word = cache_word(model)
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.simplefilter("error")
        first = model(input_ids=ids[:, :-1], use_cache=True, **{word: None})
        second = model(input_ids=ids[:, -1:], use_cache=True, **{word: first[word]})
    with torch.inference_mode():
        torch.testing.assert_close(second.logits[:, -1], model(input_ids=ids).logits[:, -1], atol=1e-5, rtol=0)


def test_virtual_tokens_keep_the_old_name(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    assert cache_word(put_on(model, "prefix", Wishes(tokens=4), 0)) == "past_key_values"
