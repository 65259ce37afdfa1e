"""The stage: what it tells, what it leaves, what it refuses."""

import json
import signal

import pytest
import torch
from safetensors.torch import load_file

from luthier.artifact.store import Artifact, Store
from luthier.errors import KindError, SpecError, Stopped, ToolError
from luthier.event import Chose, Counted, Event, Step, hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model import machine
from luthier.model.load import load_causal
from luthier.tune.run import tune
from luthier.tune.spec import AdapterSpec, TuneSpec


@pytest.fixture(scope="module")
def adapter(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Artifact, list[Event]]:
    told: list[Event] = []
    made = tune(short_run, tiny_model, tiny_data, Store(tmp_path_factory.mktemp("tuned")), told.append)
    return made, told


def test_what_trackers_wrote_outlives_the_run_under_its_name(adapter: tuple[Artifact, list[Event]]) -> None:
    made, told = adapter
    folder = made.folder.parent.parent / "track" / made.id
    assert [path.name for path in folder.iterdir()] == ["tensorboard"]
    assert len(list((folder / "tensorboard").glob("events.*"))) == 1
    [chosen] = [event for event in told if isinstance(event, Chose) and event.what == "trackers"]
    assert chosen.why == f"of run {made.id}; files lie in {folder}"


def test_the_loss_falls_and_every_step_is_told(adapter: tuple[Artifact, list[Event]]) -> None:
    made, told = adapter
    steps = [event for event in told if isinstance(event, Step)]
    assert [event.step for event in steps] == list(range(1, made.card.figures["steps"] + 1))
    assert steps[-1].loss < 0.85 * steps[0].loss
    assert steps[-1].seconds_left == 0
    assert steps[-1].dev_loss is not None
    assert all(event.tokens_per_second > 0 and event.grad_norm > 0 and event.rate > 0 for event in steps)


def test_choices_are_told_with_their_reasons(adapter: tuple[Artifact, list[Event]]) -> None:
    chosen = {event.what: event for event in adapter[1] if isinstance(event, Chose)}
    assert {"device", "dtype", "passes", "lora"} <= chosen.keys()
    assert chosen["passes"].value == "packed"
    assert all(event.why for event in chosen.values())


def test_history_and_picture_lie_beside_the_adapter(adapter: tuple[Artifact, list[Event]]) -> None:
    made, told = adapter
    lines = [json.loads(line) for line in (made.folder / "history.jsonl").read_text().splitlines()]
    steps = [event for event in told if isinstance(event, Step)]
    assert [(line["step"], line["loss"], line["grad_norm"], line["rate"]) for line in lines] == [
        (event.step, event.loss, event.grad_norm, event.rate) for event in steps
    ]
    assert (made.folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_the_card_counts_what_was_trained(adapter: tuple[Artifact, list[Event]]) -> None:
    made, told = adapter
    weights = load_file(made.folder / "adapter_model.safetensors")
    [counted] = [event for event in told if isinstance(event, Counted) and event.what == "parameters"]
    trained = sum(tensor.numel() for tensor in weights.values())
    assert made.card.figures["trained_parameters"] == counted.counts["trained"] == trained
    assert all(tensor.dtype == torch.float32 for tensor in weights.values())
    assert made.card.inputs.keys() == {"model", "data"}


def test_the_frozen_model_is_left_as_it_was(
    adapter: tuple[Artifact, list[Event]], tiny_model: Artifact, tiny_store: Store
) -> None:
    tiny_store.verify(tiny_model)
    peft_names = {name.split(".lora_")[1][0] for name in load_file(adapter[0].folder / "adapter_model.safetensors")}
    assert peft_names == {"A", "B"}


def test_in_bfloat16_the_first_loss_is_within_a_percent_of_float32(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store, adapter: tuple[Artifact, list[Event]]
) -> None:
    one_step = short_run.learn.model_copy(update={"epochs": 0.1})
    spec = short_run.model_copy(update={"dtype": "bfloat16", "learn": one_step})
    made = tune(spec, tiny_model, tiny_data, store, hush)
    assert made.card.figures["first_loss"] == pytest.approx(adapter[0].card.figures["first_loss"], rel=0.01)


def test_the_number_format_is_part_of_what_is_made(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dry = Store(store.root, dry=True)
    spec = short_run.model_copy(update={"dtype": "auto"})
    monkeypatch.setattr(machine, "_cpu_flags", lambda: frozenset({"avx512_bf16"}))
    fast = tune(spec, tiny_model, tiny_data, dry, hush)
    monkeypatch.setattr(machine, "_cpu_flags", lambda: frozenset())
    plain = tune(spec, tiny_model, tiny_data, dry, hush)
    assert fast.id != plain.id
    assert (fast.order.choices["dtype"], plain.order.choices["dtype"]) == ("bfloat16", "float32")


def test_examples_prepared_for_another_model_are_refused(tiny_data: Artifact, store: Store) -> None:
    other = fetch(FetchSpec(source="tiny:llama", template="chatml"), store, hush)
    with pytest.raises(KindError, match="were prepared for") as caught:
        tune(TuneSpec(), other, tiny_data, store, hush)
    assert caught.value.where == "input 'data'"
    assert f"luthier prepare --model {other.id}" in caught.value.mend


def test_the_wrong_kind_is_refused(tiny_model: Artifact, tiny_data: Artifact, store: Store) -> None:
    with pytest.raises(KindError) as caught:
        tune(TuneSpec(), tiny_data, tiny_data, store, hush)
    assert caught.value.mend == "give an id that begins with model-"


def test_a_target_no_layer_answers_to_is_refused_and_leaves_nothing(
    tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    with pytest.raises(SpecError) as caught:
        tune(TuneSpec(adapter=AdapterSpec(targets=("wqkv",))), tiny_model, tiny_data, store, hush)
    assert "q_proj" in caught.value.mend
    assert store.cards() == []


def test_beginning_anew_throws_old_checkpoints_away_every_time(
    short_run: TuneSpec, tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    steps: list[int] = []

    def stop(told: Event) -> None:
        if isinstance(told, Step):
            steps.append(told.step)
            signal.raise_signal(signal.SIGINT)

    for _ in range(3):
        with pytest.raises(Stopped) as caught:
            tune(short_run, tiny_model, tiny_data, store, stop, start="fresh")
        assert "without --fresh" in caught.value.mend
    assert steps == [1, 1, 1]
    (checkpoints,) = store.work.glob("adapter-*/checkpoints")
    assert [found.name for found in checkpoints.iterdir()] == ["step-000001"]


def test_the_adapter_changes_what_the_model_says(adapter: tuple[Artifact, list[Event]], tiny_model: Artifact) -> None:
    from luthier.model.load import load_adapted

    ids = torch.tensor([[1, 5, 9, 20]])
    plain = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    with torch.no_grad():
        before = plain(ids).logits
        after = load_adapted(plain, adapter[0].folder)(ids).logits
    assert (after - before).abs().max() > 0.1


def test_a_device_that_is_not_here_is_refused_before_anything_is_planned_or_read(
    tiny_model: Artifact, tiny_data: Artifact, store: Store
) -> None:
    spec = TuneSpec(device="npu")
    for where in (store, Store(store.root, dry=True)):
        with pytest.raises(ToolError, match="the device 'npu' cannot be used"):
            tune(spec, tiny_model, tiny_data, where, hush)
    assert not store.work.exists()
