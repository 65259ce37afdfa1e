"""The tiny model: deterministic, small, and usable where a real one is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model.template import open_template

MAKE = "import sys, pathlib; from luthier.fetch.tiny import make_tiny_llama; make_tiny_llama(pathlib.Path(sys.argv[1]))"


def test_another_process_makes_the_same_bytes(tiny_model: Artifact, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", MAKE, str(tmp_path)], check=True, capture_output=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted(tiny_model.card.files)
    assert all((tmp_path / name).read_bytes() == (tiny_model.folder / name).read_bytes() for name in names)


def test_making_it_leaves_the_random_state_as_it_was(store: Store) -> None:
    before = torch.random.get_rng_state()
    fetch(FetchSpec(source="tiny:llama"), store, hush)
    assert torch.equal(before, torch.random.get_rng_state())


def test_it_weighs_about_one_megabyte(tiny_model: Artifact) -> None:
    assert 500_000 < sum(facts["bytes"] for facts in tiny_model.card.files.values()) < 1_500_000


@pytest.mark.parametrize(
    ("text", "most_tokens"),
    [("What does this function do?", 8), ("这个函数做什么？请用一句话简短地回答。", 12), ("naïve 😀\n\t end", 15)],
)
def test_english_and_chinese_are_split_in_few_tokens_and_come_back(
    tiny_model: Artifact, text: str, most_tokens: int
) -> None:
    tokenizer = open_template(tiny_model.folder).tokenizer
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids) == text
    assert len(ids) <= most_tokens


def test_an_answer_ends_with_a_token_that_is_not_the_padding(tiny_model: Artifact) -> None:
    template = open_template(tiny_model.folder)
    rendered = template.render((Message("user", "hi"), Message("assistant", "ho")))
    learned = rendered.ids[rendered.mask].tolist()
    assert learned[-1] == template.tokenizer.eos_token_id
    assert template.tokenizer.pad_token_id not in template.stop_ids
    assert json.loads((tiny_model.folder / "generation_config.json").read_text())["eos_token_id"] == learned[-1]


def test_greedy_answers_do_not_hang_on_rounding(tiny_model: Artifact) -> None:
    """The best token leads the second by far more than float32 sums differ (about 1e-5)."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model.folder)
    assert model.dtype == torch.float32
    ids = torch.tensor([open_template(tiny_model.folder).prompt((Message("user", "What is this?"),))])
    with torch.no_grad():
        best, second = model(ids).logits[0].topk(2).values.unbind(-1)
    assert (best - second).min() > 1e-3


def test_an_unknown_tiny_model_names_the_known_one(store: Store) -> None:
    with pytest.raises(FetchError, match="'mistral'") as caught:
        fetch(FetchSpec(source="tiny:mistral"), store, hush)
    assert "source" in caught.value.where
    assert "tiny:llama" in caught.value.mend
