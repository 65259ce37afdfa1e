"""The table of engines, and the choice by it."""

import pytest

from luthier.engine import capability
from luthier.engine.capability import CHOICES, ENGINES, Facts, choose_engine
from luthier.engine.ports import ALWAYS_TAKEN
from luthier.errors import ToolError

LORA = {"peft_type": "LORA"}


def test_every_engine_heeds_what_each_must_and_says_what_it_runs() -> None:
    assert {*ENGINES} - {"remote"} == {*CHOICES} - {"auto"}
    for row in ENGINES.values():
        assert row.heeds() >= ALWAYS_TAKEN
        assert all((row.about, row.runs, row.devices, row.architectures, row.weights, row.adapters, row.at_once))


@pytest.mark.parametrize(
    ("facts", "name", "why"),
    [
        (Facts("cpu", True), "openvino", "its form of the model is there"),
        (Facts("cpu", True, LORA), "openvino", "several at once"),
        (Facts("cpu", False), "transformers", "--engine openvino makes it first"),
        (Facts("cuda", True), "transformers", "--engine vllm"),
        (Facts("cpu", True, {"peft_type": "IA3"}), "transformers", "its adapter is IA3"),
        (Facts("cpu", True, {"peft_type": "LORA", "use_dora": True}), "transformers", "its adapter is DoRA"),
    ],
    ids=str,
)
def test_the_choice_says_why(facts: Facts, name: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "find_spec", lambda package: object())
    chosen = choose_engine("auto", facts)
    assert chosen.name == name
    assert why in chosen.why


def test_an_engine_that_is_not_installed_is_not_chosen_and_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capability, "find_spec", lambda package: None)
    assert choose_engine("auto", Facts("cpu", True)).why == (
        "openvino-genai is not installed (pip install 'luthier[cpu]')"
    )
    with pytest.raises(ToolError) as caught:
        choose_engine("openvino", Facts("cpu", True))
    assert caught.value.where == "--engine openvino"
    assert "luthier[cpu]" in caught.value.mend
    assert choose_engine("vllm", Facts("cuda", False)).why == "asked for"
