"""What a certificate asks, and the disk that a reference's logits take. It loads no torch."""

from functools import cache
from pathlib import Path

import yaml

PROBES = Path(__file__).with_name("probes.yaml")
ANSWER_TOKENS = 24
ROW_TOKENS = 256
"""Longer rows are cut: the table of a row's logits has as many lines."""
HELD_OUT_ROWS = 8


@cache
def probes() -> dict[str, list[str]]:
    """Read the questions and the passages."""
    found: dict[str, list[str]] = yaml.safe_load(PROBES.read_text(encoding="utf-8"))
    return found


def reference_bytes(vocabulary: int) -> int:
    """Give the most that the reference's logits take on disk, float32."""
    rows = sum(len(texts) for texts in probes().values()) + HELD_OUT_ROWS
    return rows * ROW_TOKENS * vocabulary * 4
