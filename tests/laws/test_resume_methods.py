"""Stopped and resumed = straight, bit for bit, for every way to tune; what is saved loads in plain PEFT."""

import os
import signal
from pathlib import Path

import pytest
import torch

from luthier.artifact.store import Artifact, Store
from luthier.errors import Stopped
from luthier.event import Event, Step, Tell, hush
from luthier.model.load import load_adapted, load_causal
from luthier.model.methods import METHODS
from luthier.spec import make
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec

EXTRA = {
    "dora": ["adapter.dropout=0.1"],
    "lora": ["adapter.dropout=0.2"],
    "rslora": ["quantize=nf4"],
    "full": ["learn.noise=5"],
}
"""With dropout, on 4-bit weights, with noise, here and there: they too must come back."""


def _spec(kind: str) -> TuneSpec:
    return make(
        TuneSpec,
        [
            f"adapter.kind={kind}",
            "adapter.r=4",
            "adapter.tokens=4",
            "adapter.layers=1",
            "learn.epochs=0.5",
            "learn.rows_per_step=8",
            "learn.dev_every_steps=2",
            "dtype=float32",
            "track=[]",
            f"general_probe={kind in ('lora', 'full')}",
            *EXTRA.get(kind, []),
        ],
    )


def _stop_at(step: int) -> Tell:
    def tell(event: Event) -> None:
        if isinstance(event, Step) and event.step == step:
            os.kill(os.getpid(), signal.SIGTERM)

    return tell


@pytest.mark.slow
@pytest.mark.parametrize("kind", sorted(METHODS))
def test_stopped_and_resumed_is_straight(
    kind: str, tiny_store: Store, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    made = []
    for name, stop in (("straight", None), ("stopped", 2)):
        store = Store(tmp_path / name)
        if stop:
            with pytest.raises(Stopped):
                tune(_spec(kind), tiny_model, tiny_data, store, _stop_at(stop))
        made.append(tune(_spec(kind), tiny_model, tiny_data, store, hush))
    straight, resumed = made
    files = sorted(path.name for path in straight.folder.iterdir() if path.suffix in (".safetensors", ".jsonl"))
    assert len(files) >= 2
    for name in files:
        assert (straight.folder / name).read_bytes() == (resumed.folder / name).read_bytes(), name
    before = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    ids = torch.arange(5, 40)[None]
    with torch.no_grad():
        base = before(ids).logits
        tuned = load_adapted(before, straight.folder)(ids).logits[:, -35:]
    assert torch.isfinite(tuned).all()
    assert not torch.equal(tuned, base)
