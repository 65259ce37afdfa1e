"""Narrow weights: read, trained on, left alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from luthier.artifact.store import Artifact
from luthier.errors import SpecError, ToolError
from luthier.model import quantized
from luthier.model.load import load_causal
from luthier.model.methods import Wishes, put_on

IDS = torch.arange(5, 45)[None]


@pytest.mark.parametrize(("kind", "tolerance"), [("nf4", 0.5), ("int8", 0.15)])
def test_a_model_in_few_bits_answers_nearly_as_before(kind: str, tolerance: float, tiny_model: Artifact) -> None:
    with torch.no_grad():
        wide = load_causal(tiny_model.folder, dtype="float32", device="cpu")(IDS).logits
        narrow = load_causal(tiny_model.folder, dtype="float32", device="cpu", quantize=kind)(IDS).logits
    assert 0 < float((wide - narrow).abs().mean() / wide.std()) < tolerance


@pytest.mark.parametrize("kind", ["nf4", "int8"])
def test_an_adapter_learns_on_weights_that_stay_as_they_are(kind: str, tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu", quantize=kind)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        answer = model(IDS).logits
    adapted = put_on(model, "lora", Wishes(r=4, alpha=8), seed=0)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01)
    losses = []
    for _ in range(8):
        logits = adapted(input_ids=IDS).logits[0]
        loss = torch.nn.functional.cross_entropy(logits[:-1].float(), IDS[0, 1:])
        torch.autograd.backward(loss)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    with torch.no_grad(), adapted.disable_adapter():
        assert torch.equal(adapted(IDS).logits, answer)
    after = {name.replace(".base_layer", ""): p for name, p in adapted.get_base_model().named_parameters()}
    assert before
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor)


def test_quantising_a_second_time_is_refused(tiny_model: Artifact, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model.folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "gptq"}}))
    with pytest.raises(SpecError, match=r"quantised already \(gptq\)") as caught:
        quantized.quantization(folder, "nf4", "float32", "cpu")
    assert caught.value.where == "key quantize"
    assert "leave quantize out" in caught.value.mend


def test_a_base_whose_kernel_is_not_here_is_refused_with_a_way_out(tiny_model: Artifact, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_model.folder, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    with pytest.raises(ToolError, match="awq") as caught:
        quantized.quantization(folder, "none", "float32", "cpu")
    assert "gptqmodel" in caught.value.mend
