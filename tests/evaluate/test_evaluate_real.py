"""The real tiny model behind the port."""

import json
import shutil
from pathlib import Path

import pytest
from fake_chat import made

from luthier.artifact.example import Example, Message, write_examples
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import write_tokens
from luthier.engine.local import open_local
from luthier.engine.ports import LocalChatModel
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import hush
from luthier.model.template import open_template


def test_a_real_model_against_itself_gains_nothing_and_its_perplexity_is_transformers_own(
    tiny_model: Artifact, store: Store, tmp_path: Path
) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    shutil.copytree(tiny_model.folder, store.artifacts / tiny_model.id)
    template = open_template(tiny_model.folder)
    pairs = [
        ("What is a list?", "A list is a sequence."),
        ("什么是合同？", "合同是协议。"),
        ("Hi", "Hello, how are you?"),
    ]
    examples = [
        Example(f"id{place}", (Message("user", asked), Message("assistant", wanted)), f"rows.jsonl:{place}")
        for place, (asked, wanted) in enumerate(pairs)
    ]
    rows = [template.render(example.messages) for example in examples]

    def fill(out: Path) -> None:
        write_examples(out, "test", examples)
        write_tokens(out, "test", rows)

    data = made(store, "examples", "data", {"model": tiny_model.id}, fill)
    tuned = made(store, "adapter", "tuned", {"model": tiny_model.id, "data": data.id}, lambda out: None)
    task = tmp_path / "task.yaml"
    task.write_text("title: t\nmetrics: [rouge_l, perplexity]\nmax_tokens: 6\nrows_per_batch: 2\n", encoding="utf-8")

    def open_model(artifact: Artifact) -> LocalChatModel:
        return open_local(tiny_model.folder, name=artifact.id, dtype="float32", device="cpu")

    spec = EvaluateSpec(task=str(task), bootstrap=100)
    scores = evaluate(spec, tiny_model, tuned, data, None, store, hush, open_model)
    figures = scores.card.figures["heldout"]["metrics"]
    assert figures["rouge_l"]["gain"] == figures["perplexity"]["gain"] == 0

    model = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32).eval()
    lost, counted = 0.0, 0
    for row in rows:
        labels = torch.where(torch.tensor(row.mask), torch.tensor(row.ids, dtype=torch.long), -100)[None]
        with torch.no_grad():
            loss = model(torch.tensor(row.ids, dtype=torch.long)[None], labels=labels).loss
        lost += float(loss) * row.supervised
        counted += row.supervised
    assert figures["perplexity"]["before"] == pytest.approx(float(torch.tensor(lost / counted).exp()), rel=1e-5)
    kept = (scores.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(kept) == 3
    for row in map(json.loads, kept):
        assert row["before"] == row["after"]
