"""What must hold of every evaluation, on the real tiny model: figures hang on models and rows, on nothing else."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.artifact.store import Artifact, Store
from luthier.engine.local import LocalModel, open_local
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.event import hush

TEXT = [
    "The bridge is kept in good repair by the county, and has been since it was built.",
    "",
    "合同是平等主体之间设立、变更、终止民事权利义务关系的协议。",
    "A list is a sequence of items. " * 9,
]
ROWS = [
    {"q": f"What is {n} plus {n}?" + " Please." * (n % 4), "a": f"{2 * n}", "tag": "even" if n % 2 == 0 else "odd"}
    for n in range(9)
]
TASK = """
title: t
rows: rows.jsonl
prompt: "{{ q }}"
reference: "{{ a }}"
tag: "{{ tag }}"
metrics: [chrf, token_f1, rouge_l]
max_tokens: 6
"""


def open_tiny(artifact: Artifact) -> LocalModel:
    return open_local(artifact.folder, name=artifact.id, dtype="float32", device="cpu")


def scores(store: Store, model: Artifact, task: Path, **more: Any) -> tuple[Artifact, dict[str, Any]]:
    spec = EvaluateSpec(task=str(task), alone=True, bootstrap=100, **more)
    made = evaluate(spec, None, None, None, model, store, hush, open_tiny)
    return made, {tag: table for tag, table in made.card.figures.items() if isinstance(table, dict)}


@pytest.mark.parametrize("window", [512, 24])
def test_the_perplexity_of_a_text_is_what_plain_transformers_computes(
    window: int, tiny_model: Artifact, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("\n".join(TEXT) + "\n", encoding="utf-8")
    task = tmp_path / "task.yaml"
    head = "title: t\nkind: perplexity\nprompt: '{{ text }}'\nwhere: text | trim\nmetrics: [perplexity]\n"
    task.write_text(f"{head}rows: text.txt\nrows_per_batch: 2\nmax_tokens: {window}\n", encoding="utf-8")
    _, found = scores(store, tiny_model, task)

    model = AutoModelForCausalLM.from_pretrained(tiny_model.folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model.folder)
    lost, count, windows = 0.0, 0, 0
    for line in filter(None, TEXT):
        ids = tokenizer(line, add_special_tokens=False)["input_ids"]
        # each window but the first begins with the last token of the one before, whose loss is not counted again
        for begin in range(0, len(ids) - 1, window - 1):
            piece = torch.tensor([ids[begin : begin + window]])
            with torch.no_grad():
                loss = model(piece, labels=piece).loss
            lost += float(loss) * (piece.shape[1] - 1)
            count += piece.shape[1] - 1
            windows += 1
    assert (windows > 3) == (window == 24)
    assert found["heldout"]["metrics"]["perplexity"]["value"] == pytest.approx(math.exp(lost / count), rel=1e-5)


def test_scores_do_not_depend_on_batches_on_the_order_of_rows_or_on_processes(
    tiny_model: Artifact, tiny_store: Store, tmp_path: Path
) -> None:
    figures, answers = [], []
    for number, (size, rows) in enumerate([(1, ROWS), (4, ROWS[::-1]), (64, ROWS[3:] + ROWS[:3])]):
        place = tmp_path / str(number)
        place.mkdir()
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (place / "rows.jsonl").write_text(lines, encoding="utf-8")
        task = place / "task.yaml"
        task.write_text(TASK + f"rows_per_batch: {size}\n", encoding="utf-8")
        if number < 2:
            made, found = scores(Store(place / "store"), tiny_model, task)
            folder = made.folder
        else:  # another process, with one thread
            folder = _elsewhere(tiny_store, tiny_model, task, place / "store")
            found = json.loads((folder / "scores.json").read_text(encoding="utf-8"))
        figures.append(found)
        told = [json.loads(line) for line in (folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()]
        answers.append(sorted((row["question"], row["answer"], row["tag"]) for row in told))
    assert len(answers[0]) == len(ROWS)
    assert answers[0] == answers[1] == answers[2]
    assert figures[0].keys() == {"all", "even", "odd"}
    assert figures[0] == figures[1] == figures[2]


def _elsewhere(tiny_store: Store, model: Artifact, task: Path, root: Path) -> Path:
    program = """
import sys
from pathlib import Path
from luthier.artifact.store import Store
from luthier.evaluate.run import evaluate
from luthier.evaluate.spec import EvaluateSpec
from luthier.engine.local import open_local
from luthier.event import hush
model = Store(sys.argv[1]).find(sys.argv[2])
spec = EvaluateSpec(task=sys.argv[3], alone=True, bootstrap=100)
def open_tiny(artifact):
    return open_local(artifact.folder, name=artifact.id, dtype="float32", device="cpu")
print(evaluate(spec, None, None, None, model, Store(sys.argv[4]), hush, open_tiny).folder)
"""
    words = [sys.executable, "-c", program, str(tiny_store.root), model.id, str(task), str(root)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return Path(done.stdout.strip())
