"""A model folder that is not whole is refused with a mend; a whole one gives transformers' own model."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from luthier.artifact.store import Artifact
from luthier.errors import LuthierError, ModelError, ToolError
from luthier.model.load import load_adapted, load_causal


@pytest.fixture
def folder(tiny_model: Artifact, tmp_path: Path) -> Path:
    """Give a copy of the tiny model that may be damaged."""
    return Path(shutil.copytree(tiny_model.folder, tmp_path / "model"))


@pytest.fixture
def adapter(folder: Path, tmp_path: Path) -> Path:
    """Give an adapter of the tiny model, on its two layers, that changes what it says."""
    torch.manual_seed(0)
    model = load_causal(folder, dtype="float32", device="cpu")
    adapted = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def configure(folder: Path, **changes: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def load(folder: Path) -> Any:
    return load_causal(folder, dtype="float32", device="cpu")


def test_a_whole_folder_gives_the_model_transformers_gives(folder: Path) -> None:
    ids = torch.arange(3, 40)[None]
    with torch.inference_mode():
        ours = load(folder)(input_ids=ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()(input_ids=ids).logits
    assert torch.equal(ours, theirs)


def test_weights_come_in_the_asked_format_and_in_evaluation_mode(folder: Path) -> None:
    model = load_causal(folder, dtype="bfloat16", device="cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert not model.training


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def as_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:5000])


def without_a_shard(folder: Path) -> None:
    index = {"weight_map": {"model.norm.weight": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def with_a_garbled_index(folder: Path) -> None:
    (folder / "model.safetensors.index.json").write_text("[]")


BROKEN: list[tuple[Callable[[Path], object], str, str, str]] = [
    (without_config, "there is no config.json", "model", "config.json, *.safetensors, tokenizer.json"),
    (without_weights, "holds no weights", "model", "give the folder that holds *.safetensors"),
    (as_pickle, "pickles", "model", "with *.safetensors"),
    (cut_short, "damaged", "model", "fetch the model again"),
    (without_a_shard, "model-00002-of-00002.safetensors is missing", "index.json", "fetch the model again"),
    (with_a_garbled_index, "list of weight files cannot be read", "index.json", "fetch the model again"),
    (lambda f: configure(f, hidden_size=32), "config.json asks for", "model", "the config.json of the same model"),
    (lambda f: configure(f, num_hidden_layers=3), "model.layers.2.", "model", "answer nonsense"),
    (lambda f: configure(f, model_type="nonsense"), "'nonsense'", "key model_type", "newer transformers"),
    (lambda f: configure(f, model_type="vit"), "'vit'", "key model_type", "a model for text generation"),
    (
        lambda f: configure(f, model_type="own", auto_map={"AutoConfig": "a.B", "AutoModelForCausalLM": "a.C"}),
        "brings its own code",
        "model",
        "trust_remote_code=true",
    ),
    (lambda f: configure(f, num_attention_heads=0), "cannot be loaded", "model", "mend config.json"),
]


@pytest.mark.parametrize(("damage", "what", "where", "mend"), BROKEN)
def test_a_folder_that_is_not_whole_is_refused_with_a_mend(
    folder: Path, damage: Callable[[Path], object], what: str, where: str, mend: str
) -> None:
    damage(folder)
    with pytest.raises(ModelError) as caught:
        load(folder)
    assert what in caught.value.what
    assert where in caught.value.where
    assert mend in caught.value.mend


@pytest.mark.parametrize(
    ("asked", "kind", "where", "mend"),
    [
        ({"dtype": "int4"}, ModelError, "model", "float32, bfloat16, float16"),
        ({"device": "abacus"}, ToolError, "key device", "device=cpu"),
        ({"attention": "divided"}, ModelError, "model", "set attention to one"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused_with_a_mend(
    folder: Path, asked: dict[str, Any], kind: type[LuthierError], where: str, mend: str
) -> None:
    with pytest.raises(kind) as caught:
        load_causal(folder, **({"dtype": "float32", "device": "cpu"} | asked))
    assert where in caught.value.where
    assert mend in caught.value.mend


def test_an_adapter_stays_apart_and_its_base_stays_itself(folder: Path, adapter: Path) -> None:
    ids = torch.arange(3, 40)[None]
    adapted = load_adapted(load(folder), adapter)
    with torch.inference_mode():
        said = adapted(input_ids=ids).logits
        with adapted.disable_adapter():
            below = adapted(input_ids=ids).logits
        base = load(folder)(input_ids=ids).logits
    assert not torch.allclose(said, base, atol=1e-3)
    assert torch.equal(below, base)


@pytest.mark.parametrize("changes", [{"hidden_size": 32}, {"num_hidden_layers": 1}, {"num_hidden_layers": 3}], ids=str)
def test_an_adapter_of_another_base_is_refused_and_its_base_named(
    folder: Path, adapter: Path, changes: dict[str, int]
) -> None:
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    for key, value in changes.items():
        setattr(config, key, value)
    other = AutoModelForCausalLM.from_config(config)
    with pytest.raises(ModelError, match="does not fit this model") as caught:
        load_adapted(other, adapter)
    assert caught.value.where == str(adapter)
    assert str(folder) in caught.value.mend


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_folder_without_a_whole_adapter_is_refused(folder: Path, adapter: Path, name: str) -> None:
    (adapter / name).unlink()
    with pytest.raises(ModelError, match=f"there is no {name}") as caught:
        load_adapted(load(folder), adapter)
    assert caught.value.where == str(adapter)
    assert "as PEFT saves it" in caught.value.mend


def test_loading_what_adapters_need_says_nothing_of_its_own() -> None:
    # bitsandbytes 0.50 warns on a processor with avx512_bf16
    done = subprocess.run(
        [sys.executable, "-c", "import luthier.model.adapt"], capture_output=True, text=True, check=True
    )
    assert done.stdout + done.stderr == ""
