"""Layers find their places in order; what does not fit goes to disk, what the loss reads stays on the device."""

from pathlib import Path

import pytest
import torch

from luthier.artifact.store import Artifact
from luthier.errors import RoomError
from luthier.model.away import stand_ins
from luthier.model.device_map import place_layers, rooms
from luthier.model.load import load_causal
from luthier.model.skeleton import open_skeleton

APART, LAYER = 121_408, 43_136
"""Numbers of the tiny Llama outside its two layers (1,896 x 64 embeddings, which are its head too, and a norm of 64),
and in each: 64 x 64 twice, 32 x 64 twice, 160 x 64 three times, two norms."""


def placed(folder: Path, **room: int) -> dict[str, str]:
    return place_layers(open_skeleton(folder, "float32"), {f"{name}": 4 * size for name, size in room.items()}, 4)


def test_layers_fill_the_places_in_order_and_the_rest_lies_on_disk(tiny_model: Artifact) -> None:
    found = placed(tiny_model.folder, gpu=APART + LAYER, cpu=0)
    assert found == {
        "model.embed_tokens": "gpu",
        "model.norm": "gpu",
        "model.rotary_emb": "gpu",
        "lm_head": "gpu",
        "model.layers.0": "gpu",
        "model.layers.1": "disk",
    }
    assert placed(tiny_model.folder, gpu=APART, cpu=LAYER)["model.layers.0"] == "cpu"
    assert set(placed(tiny_model.folder, gpu=APART + 2 * LAYER).values()) == {"gpu"}


def test_no_room_for_the_head_is_told_with_both_sizes(tiny_model: Artifact) -> None:
    with pytest.raises(RoomError, match="embeddings and head take") as caught:
        placed(tiny_model.folder, gpu=APART - 1, cpu=10 * LAYER)
    assert caught.value.where == "key device_map"
    assert "max_memory" in caught.value.mend


def test_what_is_asked_comes_before_what_is_free() -> None:
    assert rooms("cpu", {"cpu": 5}) == {"cpu": 5}
    assert rooms("cpu", {})["cpu"] > 10**6


def test_weights_on_disk_look_as_if_they_were_there_only_inside_the_block(tiny_model: Artifact) -> None:
    places = placed(tiny_model.folder, cpu=APART + LAYER)
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu", places=places)
    away = model.get_parameter("model.layers.1.mlp.up_proj.weight")
    assert away.is_meta
    with stand_ins(model):
        standing = model.get_parameter("model.layers.1.mlp.up_proj.weight")
        assert (standing.shape, standing.device.type) == (away.shape, "cpu")
        assert standing.untyped_storage().nbytes() == 4
    assert model.get_parameter("model.layers.1.mlp.up_proj.weight") is away


def test_a_spread_model_gives_the_logits_of_a_whole_one(tiny_model: Artifact) -> None:
    ids = torch.arange(5, 60)[None]
    whole = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    spread = load_causal(tiny_model.folder, dtype="float32", device="cpu", places=placed(tiny_model.folder, cpu=APART))
    with torch.no_grad():
        assert torch.equal(spread(ids).logits, whole(ids).logits)
