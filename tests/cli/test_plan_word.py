"""`luthier plan MODEL`: what a tune will take, for people and as JSON; nothing is made."""

import json
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main

Caught = pytest.CaptureFixture[str]
GPU = ["--gpu", "RTX 4090"]


def test_a_model_is_planned_with_its_newest_data(
    tiny_store: Store, tiny_model: Artifact, tiny_data: Artifact, capsys: Caught
) -> None:
    main(["--project", str(tiny_store.root), "plan", tiny_model.id, "adapter.r=4", "--data", tiny_data.id, *GPU])
    said = capsys.readouterr().out
    for part in ("activations", "optimizer", "fits in 25.8 GB", "a step, 7 steps", "QLoRA", "dropped and 0 truncated"):
        assert part in said, part
    assert "RTX 4090 (26 GB): lora r=4, 4096 tokens a pass" in said


def test_a_plan_as_json_holds_terms_options_and_the_proposal(
    tiny_store: Store, tiny_model: Artifact, tiny_data: Artifact, capsys: Caught
) -> None:
    main(["--project", str(tiny_store.root), "plan", tiny_model.id, "--data", tiny_data.id, "--json", *GPU])
    found = json.loads(capsys.readouterr().out)
    assert found["place"]["name"] == "RTX 4090"
    assert sum(found["terms"].values()) <= found["peak_bytes"]
    assert found["hours"] > 0
    assert found["prepared"]["truncated"] == 0
    assert {"half the rank", "QLoRA: frozen weights in 4 bits"} <= {option["about"] for option in found["options"]}
    assert found["proposal"]["fits"] is True


def test_a_folder_with_a_config_alone_is_planned(
    store: Store, tiny_model: Artifact, tmp_path: Path, capsys: Caught
) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    (folder / "config.json").write_bytes((tiny_model.folder / "config.json").read_bytes())
    main(["--project", str(store.root), "plan", str(folder), "adapter.kind=full", "--memory", "2GB", "--devices", "2"])
    said = capsys.readouterr().out
    assert "(100.00%)" in said
    assert "2 devices: copies" in said
    assert "512 tokens each assumed" in said
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["recipe.yaml", "--json"], "leave them out, or plan one tune: luthier plan MODEL"),
        (["model-000000000000"], "model-000000000000"),
        ([".", "lern.rate=1"], "did you mean 'learn'"),
    ],
)
def test_what_cannot_be_planned_is_said(words: list[str], part: str, store: Store, capsys: Caught) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--project", str(store.root), "plan", *words])
    assert caught.value.code == 1
    assert part in capsys.readouterr().err


def test_a_recipe_s_plan_shows_what_its_tune_step_will_take(
    tiny_store: Store, tiny_model: Artifact, tiny_data: Artifact, tmp_path: Path, capsys: Caught
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        f"tune: {{use: {{model: {tiny_model.id}, data: {tiny_data.id}}}, seed: 41, device: cpu}}\n", encoding="utf-8"
    )
    main(["--project", str(tiny_store.root), "plan", str(recipe)])
    said = capsys.readouterr().out
    assert "to make" in said
    assert "activations" in said
    assert "trained parameters: 35,840 of" in said
