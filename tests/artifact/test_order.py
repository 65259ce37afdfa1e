"""An order's id: the same everywhere, another for anything that changes the content."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from luthier.artifact.order import KINDS, Order

ORDER = Order("model", "fetch", 1, {"b": [1, 2.5], "a": {"名": None}}, {"from": "sha256:00"}, {"dtype": "float32"})
ASK = """
from luthier.artifact.order import Order
spec = {"a": {"名": None}, "b": [1, 2.5]}
print(Order("model", "fetch", 1, spec, {"from": "sha256:00"}, {"dtype": "float32"}).id)
"""


def test_an_id_is_the_kind_and_the_first_twelve_digits_of_the_sha256_of_canonical_json() -> None:
    text = (
        '{"choices":{"dtype":"float32"},"inputs":{"from":"sha256:00"},"kind":"model",'
        '"spec":{"a":{"名":null},"b":[1,2.5]},"stage":"fetch","version":1}'
    )
    assert f"model-{hashlib.sha256(text.encode()).hexdigest()[:12]}" == ORDER.id


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_an_id_is_the_same_in_another_process_whatever_its_hash_seed(seed: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run([sys.executable, "-c", ASK], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == ORDER.id


@pytest.mark.parametrize(
    "other",
    [
        replace(ORDER, kind="rows"),
        replace(ORDER, stage="merge"),
        replace(ORDER, version=2),
        replace(ORDER, spec={"b": [2.5, 1], "a": {"名": None}}),
        replace(ORDER, inputs={"from": "sha256:01"}),
        replace(ORDER, choices={"dtype": "bfloat16"}),
    ],
)
def test_whatever_changes_the_content_changes_the_id(other: Order) -> None:
    assert other.id.partition("-")[2] != ORDER.id.partition("-")[2]


def test_every_kind_begins_its_ids() -> None:
    assert KINDS
    for kind in KINDS:
        assert Order(kind, "fetch", 1, {}).id.startswith(f"{kind}-")  # type: ignore[arg-type]
