"""Merged is the adapter on its base: shown by PEFT itself, not by what was merged."""

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from adapters import drawn
from peft import PeftModel
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, RoomError, SpecError, StoreError
from luthier.event import Chose, Judged, hush
from luthier.merge.run import merge
from luthier.merge.spec import MergeSpec
from luthier.model import machine
from luthier.model.template import open_template
from luthier.spec import make

IDS = torch.tensor([[1, 607, 269, 201, 820, 318, 262, 469, 374, 460, 91, 361, 275, 33, 2, 201, 1, 354, 604, 749, 201]])


def plain(folder: Path, *adapters: Path) -> Any:
    """Open in float64: the sums of float32 alone differ by 1e-5 with their order."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64)
    return PeftModel.from_pretrained(model, adapters[0]).double() if adapters else model


def logits(model: Any) -> Any:
    with torch.no_grad():
        return model.double()(IDS).logits[0]


@pytest.fixture(scope="session")
def one(tiny_model: Artifact, tiny_store: Store) -> Artifact:
    return drawn(tiny_model, tiny_store, 1)


@pytest.fixture(scope="session")
def merged(one: Artifact, tiny_store: Store) -> Artifact:
    return merge(MergeSpec(), one, tiny_store, hush)


def test_merged_is_the_adapter_on_its_base(merged: Artifact, one: Artifact, tiny_model: Artifact) -> None:
    wanted, found = logits(plain(tiny_model.folder, one.folder)), logits(plain(merged.folder))
    assert (wanted - found).abs().max() < 1e-5
    assert (wanted - logits(plain(tiny_model.folder))).abs().max() > 0.1  # the adapter does change something
    options = {"max_new_tokens": 30, "do_sample": False}
    greedy = [
        model.generate(IDS, **options).tolist()
        for model in (plain(tiny_model.folder, one.folder), plain(merged.folder))
    ]
    assert greedy[0] == greedy[1]


def test_the_certificate_says_what_it_was_held_against_and_how(merged: Artifact, one: Artifact) -> None:
    found = merged.card.figures["certificate"]
    assert found["passed"] is True
    assert found["faults"] == []
    assert one.id in found["against"]
    assert found["max_logit_difference"] < 1e-4
    assert found["agreement"] == 1
    assert found["first_divergence"] is None
    assert found["template_parity"] is True
    assert found["perplexity"] == pytest.approx(found["reference_perplexity"], rel=1e-5)
    assert "transformers" in found["by"]


def test_the_merged_folder_is_a_model_like_its_base(merged: Artifact, tiny_model: Artifact) -> None:
    assert merged.kind == "model"
    assert open_template(merged.folder).hashes() == open_template(tiny_model.folder).hashes()
    assert merged.card.figures["licence"] == tiny_model.card.figures["licence"]


@pytest.mark.journey
def test_of_a_qlora_both_candidates_are_measured_and_the_nearer_is_kept(
    tiny_model: Artifact, tiny_store: Store, told: list[Any]
) -> None:
    adapter = drawn(tiny_model, tiny_store, 3, quantize="nf4")
    made = merge(MergeSpec(), adapter, tiny_store, told.append)
    figures = made.card.figures
    assert figures["merged_onto"] == "quantized"
    assert figures["certificate"]["kl"] < figures["other_candidate"]["kl"]
    assert [event.value for event in told if isinstance(event, Chose) and event.what == "merged onto"] == ["quantized"]
    assert [event.passed for event in told if isinstance(event, Judged)] == [True]


def test_what_cannot_be_merged_is_told(one: Artifact, tiny_model: Artifact, tiny_store: Store) -> None:
    with pytest.raises(SpecError, match="a model already"):
        merge(MergeSpec(), tiny_model, tiny_store, hush)
    with pytest.raises(KindError, match="adapters are merged with adapters"):
        merge(MergeSpec(more=(tiny_model.id,)), one, tiny_store, hush)
    with pytest.raises(SpecError) as caught:
        merge(MergeSpec(onto="quantized"), one, tiny_store, hush)
    assert caught.value.where == "key onto"
    with pytest.raises(SpecError, match=f"{one.id} is named twice") as caught:
        merge(MergeSpec(more=(one.id,)), one, tiny_store, hush)
    assert "weights=" in caught.value.mend
    another = drawn(tiny_model, tiny_store, 2)
    with pytest.raises(SpecError, match="chosen for one adapter; these are 2") as caught:
        merge(MergeSpec(more=(another.id,), onto="full"), one, tiny_store, hush)
    assert caught.value.where == "key onto"
    with pytest.raises(SpecError, match="should name 1 weights"):
        make(MergeSpec, ["weights=[1, 2]"])


def test_a_merge_that_has_no_room_is_refused_before_any_work(
    one: Artifact, tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = MergeSpec(dtype="bfloat16")  # one that is not there yet
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: 10**8)
    with pytest.raises(RoomError, match=r"the merge needs about 0\.8 GB of memory, 0\.1 GB are free") as caught:
        merge(spec, one, tiny_store, hush)
    assert "served on its base" in caught.value.mend
    monkeypatch.setattr(machine, "free_memory_bytes", lambda: None)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: SimpleNamespace(free=10**6))
    with pytest.raises(RoomError, match=r"the merge needs .* of disk, 1\.0 MB are free") as caught:
        merge(spec, one, tiny_store, hush)
    assert "luthier remove" in caught.value.mend


def test_an_altered_adapter_is_not_merged(one: Artifact, tiny_model: Artifact, store: Store) -> None:
    for part in (one, tiny_model):
        shutil.copytree(part.folder, store.artifacts / part.id)
    weights = store.artifacts / one.id / "adapter_model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(StoreError, match="differs from its checksum"):
        merge(MergeSpec(), store.find(one.id), store, hush)
