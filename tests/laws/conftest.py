"""What the laws are tested on: the tiny model, a few dozen rows in Chinese and English, a short run."""

import json
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.event import hush
from luthier.prepare.run import prepare
from luthier.prepare.spec import PrepareSpec
from luthier.tune.spec import AdapterSpec, CheckpointSpec, LearnSpec, TuneSpec


@pytest.fixture(scope="session")
def rows_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give 60 alpaca rows of uneven length."""
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows = [
        {"instruction": f"What is {n} plus {n}?" + " Please." * (n % 5), "output": f"{n} + {n} = {2 * n}, 好的。" + "!" * (n % 7)}
        for n in range(60)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def tiny_data(tiny_model: Artifact, tiny_store: Store, rows_file: Path) -> Artifact:
    """Give the rows prepared for the tiny model."""
    return prepare(PrepareSpec(source=str(rows_file)), tiny_model, None, tiny_store, hush)


@pytest.fixture(scope="session")
def short_run() -> TuneSpec:
    """Give settings of a run of 12 steps or so, with a checkpoint every 3."""
    return TuneSpec(
        adapter=AdapterSpec(r=4),
        learn=LearnSpec(epochs=2, rate=5e-3, rows_per_step=8, dev_every_steps=4),
        checkpoint=CheckpointSpec(every_steps=3),
        dtype="float32",
        device="cpu",
    )
