"""A run on a Ray cluster of this machine (make journey); without Ray it says what to install."""

import json
import sys
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import ToolError
from luthier.event import Chose, Event, Step, hush
from luthier.tune.run import tune
from luthier.tune.spec import TuneSpec


def test_without_ray_the_error_names_the_extra(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ToolError, match="Ray, which is not installed") as caught:
        tune(short_run, tiny_model, tiny_data, store, hush, processes=2, cluster="local")
    assert caught.value.where == "--cluster"
    assert "pip install 'luthier[ray]'" in caught.value.mend


@pytest.mark.journey
def test_two_workers_of_a_local_cluster_learn_what_one_process_does(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason="pip install 'luthier[ray]'")
    one = tune(short_run, tiny_model, tiny_data, Store(tmp_path / "one"), hush)
    told: list[Event] = []
    two = tune(short_run, tiny_model, tiny_data, Store(tmp_path / "two"), told.append, processes=2, cluster="local")
    losses = [
        [json.loads(line)["loss"] for line in (made.folder / "history.jsonl").read_text("utf-8").splitlines()]
        for made in (one, two)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    assert len([event for event in told if isinstance(event, Step)]) == len(losses[0])
    assert any(isinstance(event, Chose) and event.what == "cluster" for event in told)
