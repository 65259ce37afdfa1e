"""What a plan counts, against PEFT and against published counts."""

import pytest

from luthier.artifact.store import Artifact
from luthier.model.adapt import add_lora, trainable
from luthier.model.load import load_causal
from luthier.model.plan import Shapes, read_shapes
from luthier.tune.plan import expected_peak_bytes, memory_terms, trainable_parameters
from luthier.tune.spec import AdapterSpec, LearnSpec, TuneSpec

SEVEN = Shapes(  # Llama-2-7B: 32 layers of q, k, v, o (4096 x 4096), gate, up, down (11008 x 4096)
    parameters=6_738_415_616,
    linear=(((4096, 4096),) * 4 + ((11008, 4096),) * 2 + ((4096, 11008),)) * 32,
    layers=32,
    hidden=4096,
    vocabulary=32000,
)


def test_trained_parameters_are_those_peft_adds(tiny_model: Artifact) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = add_lora(model, r=6, alpha=12, dropout=0.0, targets="all-linear", seed=0)
    expected = sum(parameter.numel() for _, parameter in trainable(adapted))
    assert trainable_parameters(TuneSpec(adapter=AdapterSpec(r=6)), read_shapes(tiny_model.folder)) == expected


def test_llama_2_7b_on_all_linears_trains_the_known_number() -> None:
    # 20,277,248 with the head, which adds r * (4096 + 32000) = 288,768
    spec = TuneSpec(adapter=AdapterSpec(r=8))
    assert trainable_parameters(spec, SEVEN) == 20_277_248 - 288_768


def test_seven_billion_weights_in_bfloat16_take_thirteen_and_a_half_gigabytes() -> None:
    terms = memory_terms(TuneSpec(), SEVEN, "bfloat16")
    assert terms["weights"] == pytest.approx(13.5e9, rel=0.01)
    assert terms["optimizer"] == 2 * terms["gradients"] == 2 * terms["adapter"]


def test_more_tokens_at_once_and_wider_numbers_take_more(tiny_model: Artifact) -> None:
    small = expected_peak_bytes(TuneSpec(), tiny_model.folder, "bfloat16")
    assert expected_peak_bytes(TuneSpec(), tiny_model.folder, "float32") > small
    more = TuneSpec(learn=LearnSpec(tokens_per_pass=8192))
    assert expected_peak_bytes(more, tiny_model.folder, "bfloat16") > small
