"""What is proposed where memory does not suffice, before a run and in the middle of one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from plan_folders import LLAMA_2_7B, write_folder

from luthier.artifact.store import Artifact, Store
from luthier.errors import ModelError, RoomError, SpecError
from luthier.event import hush
from luthier.tune.plan import make_plan
from luthier.tune.plan_fit import Asked, best_that_fits, options, sentence
from luthier.tune.plan_place import Place, choose_place, gpus, read_bytes
from luthier.tune.room import is_out_of_memory, room_explained
from luthier.tune.run import tune
from luthier.tune.spec import AdapterSpec, LearnSpec, TuneSpec


@pytest.fixture(scope="module")
def llama_2_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("llama"), *LLAMA_2_7B)


def on(name: str, folder: Path, **settings: Any) -> Asked:
    return Asked(TuneSpec.model_validate(settings), folder, choose_place(name, None, 1), None, "bfloat16")


@pytest.mark.parametrize(("gpu", "fits"), [("H100", True), ("RTX 4090", False)])
def test_seven_billion_at_4096_tokens_a_pass_fit_a_large_card_only(gpu: str, fits: bool, llama_2_7b: Path) -> None:
    assert on(gpu, llama_2_7b).plan().fits is fits


def test_on_a_24_gb_card_fewer_tokens_a_pass_are_proposed_and_fit(llama_2_7b: Path) -> None:
    asked = on("RTX 4090", llama_2_7b)
    plan = asked.plan()
    room = asked.place.usable_bytes
    assert room is not None
    found = best_that_fits(asked, room, plan)
    assert found is not None
    assert found[0].keys() == {"learn.tokens_per_pass"}
    assert found[1].peak_bytes <= room < plan.peak_bytes
    assert sentence(asked, found, asked.place.room_bytes or 0).startswith("RTX 4090 (26 GB): lora r=16, ")


def test_on_a_12_gb_card_seven_billion_weights_must_be_in_4_bits(llama_2_7b: Path) -> None:
    asked = on("RTX 3060", llama_2_7b)  # the weights alone are 13.5 GB in 16 bits
    found = best_that_fits(asked, asked.place.usable_bytes or 0, asked.plan())
    assert found is not None
    assert found[1].spec.quantize == "nf4"
    assert "QLoRA r=16" in sentence(asked, found, 12_900_000_000)


def test_where_nothing_fits_that_is_said(llama_2_7b: Path) -> None:
    asked = Asked(TuneSpec(), llama_2_7b, Place("cuda", "a small card", 2 * 10**9, 1e13), None, "bfloat16")
    assert best_that_fits(asked, 2 * 10**9, asked.plan()) is None
    assert "nothing fits" in sentence(asked, None, 2 * 10**9)


def test_full_tuning_that_fits_no_card_is_dealt_out_over_several(llama_2_7b: Path) -> None:
    spec = TuneSpec(adapter=AdapterSpec(kind="full"))
    one, four = (make_plan(spec, llama_2_7b, choose_place("H100", None, count), None, "bfloat16") for count in (1, 4))
    assert (one.fits, one.spread.kind) == (False, "one")
    assert (four.fits, four.spread.kind) == (True, "shards")
    assert four.memory.terms["optimizer"] == one.memory.terms["optimizer"] // 4
    assert four.step_seconds < one.step_seconds / 3


def test_each_change_is_planned_with_what_it_costs(tiny_model: Artifact, tiny_data: Artifact) -> None:
    spec = TuneSpec(learn=LearnSpec(tokens_per_pass=256))
    asked = Asked(spec, tiny_model.folder, Place("cuda", "card", 10**10, 1e13), tiny_data, "bfloat16")
    found = {option.about: option for option in options(asked, asked.plan())}
    assert found["half the tokens a pass"].bytes_more < 0
    assert found["activations computed again"].bytes_more < 0 < found["activations computed again"].seconds_more
    assert found["AdamW's state in 8 bits"].settings == ("learn.optimizer=adamw_8bit",)
    assert found["twice the rank"].trained == 2 * found["half the rank"].trained * 2
    assert found["rows half as long"].seconds_more < 0


def test_a_full_tune_is_offered_no_4_bits() -> None:
    from luthier.tune.plan_fit import CHANGES

    assert CHANGES["QLoRA: frozen weights in 4 bits"](TuneSpec(adapter=AdapterSpec(kind="full"))) == {}


@pytest.mark.parametrize("asked", ["rtx4090", "NVIDIA GeForce RTX 4090", "RTX 4090"])
def test_a_card_is_found_by_its_usual_names(asked: str) -> None:
    assert choose_place(asked, None, 1).name == "RTX 4090"


def test_an_unknown_card_names_the_nearest() -> None:
    with pytest.raises(SpecError) as caught:
        choose_place("RTX 4091", None, 1)
    assert caught.value.where == "--gpu"
    assert caught.value.mend.startswith("did you mean 'RTX 4090'?")
    with pytest.raises(SpecError) as caught:
        choose_place(None, "much", 1)
    assert (caught.value.where, caught.value.mend) == ("--memory", "write for instance 24GB")
    with pytest.raises(SpecError) as caught:
        choose_place(None, None, 0)
    assert (caught.value.where, caught.value.mend) == ("--devices", "give 1 or more")


def test_every_card_has_memory_speed_bandwidth_and_a_source() -> None:
    assert len(gpus()) >= 20
    for name, row in gpus().items():
        assert row.keys() == {"memory", "speed", "bandwidth", "source"}, name
        assert row["memory"] > 8
        assert row["source"]


@pytest.mark.parametrize(("text", "size"), [("24GB", 24 * 10**9), ("24 GiB", 24 * 2**30), ("1.5gb", 15 * 10**8)])
def test_amounts_of_memory_are_read(text: str, size: int) -> None:
    assert read_bytes(text, "--memory") == size


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried ..."),
        OSError(12, "Cannot allocate memory"),
        ModelError("the weights are damaged: Cannot allocate memory (os error 12)", where="", mend=""),
    ],
)
def test_what_allocators_say_is_known(error: BaseException) -> None:
    assert is_out_of_memory(error)


def test_out_of_memory_in_a_run_names_the_smallest_change_that_fits(
    tiny_model: Artifact,
    tiny_data: Artifact,
    short_run: TuneSpec,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr("luthier.tune.train.learn", fail)
    plan = make_plan(short_run, tiny_model.folder, Place("cpu", "cpu", None, 1.0), tiny_data, "float32")
    monkeypatch.setattr("luthier.tune.room.LESS", (plan.peak_bytes - 1) / plan.peak_bytes)
    with pytest.raises(RoomError) as caught:
        tune(short_run, tiny_model, tiny_data, store, hush)
    assert caught.value.what.startswith("the run ran out of memory; the plan was ")
    assert caught.value.where.startswith("cpu has ")
    assert caught.value.mend.startswith("set learn.tokens_per_pass=")
    assert "by the plan" in caught.value.mend


def test_out_of_memory_is_told_even_where_a_plan_finds_no_room(
    tiny_model: Artifact, tiny_data: Artifact, short_run: TuneSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(asked: object) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr("luthier.tune.room.Asked.plan", fail)
    with (
        pytest.raises(RoomError) as caught,
        room_explained(short_run, tiny_model, tiny_data, "cpu", "float32", tmp_path),
    ):
        raise MemoryError
    assert caught.value.what == "the run ran out of memory"
    assert caught.value.mend.startswith("lower learn.tokens_per_pass (no plan: [Errno 12]")


def test_another_error_of_a_run_is_left_as_it_is(
    tiny_model: Artifact, tiny_data: Artifact, short_run: TuneSpec, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: Any, **more: Any) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr("luthier.tune.train.learn", fail)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        tune(short_run, tiny_model, tiny_data, store, hush)
