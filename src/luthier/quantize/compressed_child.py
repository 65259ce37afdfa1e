"""Runs in the environment of the tool `llmcompressor`, with nothing of ours: a model folder in, narrow weights out.

    python compressed_child.py FOLDER OUT ASKED.json

ASKED holds `way` (a row of WAYS), `weights` (compressed-tensors' QuantizationArgs), `rows` (token ids to calibrate on)
and `trusted`.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datasets import Dataset
from llmcompressor import oneshot
from llmcompressor.modifiers.gptq import GPTQModifier
from llmcompressor.modifiers.quantization import QuantizationModifier
from llmcompressor.modifiers.transform.awq import AWQModifier
from transformers import AutoModelForCausalLM

WAYS: dict[str, Callable[[dict[str, Any]], list[Any]]] = {
    "nearest": lambda groups: [QuantizationModifier(**groups)],
    "gptq": lambda groups: [GPTQModifier(**groups)],
    "awq": lambda groups: [AWQModifier(), QuantizationModifier(**groups)],
}


def main(folder: str, out: str, asked: str) -> None:
    """Read the model, make its linear layers narrow (the head is left), write it."""
    given = json.loads(Path(asked).read_text(encoding="utf-8"))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto", trust_remote_code=given["trusted"])
    groups = {"config_groups": {"linear": {"targets": ["Linear"], "weights": given["weights"]}}, "ignore": ["lm_head"]}
    more: dict[str, Any] = {}
    if given["rows"]:
        rows = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in given["rows"]]
        more = {"dataset": Dataset.from_list(rows), "num_calibration_samples": len(rows), "max_seq_length": 2048}
    oneshot(model=model, recipe=WAYS[given["way"]](groups), **more)
    model.save_pretrained(out, save_compressed=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
