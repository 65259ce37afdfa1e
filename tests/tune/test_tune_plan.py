"""What a plan counts, against PEFT, against published counts and against runs."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
from plan_folders import CHATGLM, LLAMA_2_7B, write_folder

from luthier.artifact.store import Artifact, Store
from luthier.errors import SpecError
from luthier.event import hush
from luthier.model.adapt import trainable
from luthier.model.load import load_causal
from luthier.model.methods import METHODS, Wishes, put_on
from luthier.model.plan import read_shapes
from luthier.spec import make
from luthier.tune.calibration import NAME, learn_from, read_calibration
from luthier.tune.plan import make_plan, shapes_for
from luthier.tune.plan_load import load_of
from luthier.tune.plan_place import Place
from luthier.tune.plan_terms import PROCESS_BYTES, weight_bytes
from luthier.tune.plan_trained import trained_parameters
from luthier.tune.run import tune
from luthier.tune.spec import AdapterSpec, CheckpointSpec, LearnSpec, TuneSpec

CPU = Place("cpu", "cpu", None, 1e12)


@pytest.fixture(scope="module")
def llama_2_7b(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("llama"), *LLAMA_2_7B)


@pytest.mark.parametrize(
    ("r", "targets", "trained"),
    [
        (8, ("q_proj", "v_proj"), 4_194_304),
        (8, ("all-linear", "lm_head"), 20_277_248),
        (16, ("all-linear", "lm_head"), 40_554_496),
    ],
)
def test_llama_2_7b_trains_the_published_numbers(
    r: int, targets: tuple[str, ...], trained: int, llama_2_7b: Path
) -> None:
    assert trained_parameters(AdapterSpec(r=r, targets=targets), read_shapes(llama_2_7b)) == trained


def test_llama_2_7b_in_16_bits_takes_thirteen_and_a_half_gigabytes(llama_2_7b: Path) -> None:
    shapes = read_shapes(llama_2_7b)
    assert shapes.parameters == 6_738_415_616
    assert weight_bytes(TuneSpec(), shapes, 2) == pytest.approx(13.5e9, rel=0.01)
    # 4.127 bits for each weight of a linear layer (QLoRA, arXiv:2305.14314, section 3), 16 for 262 M of embeddings
    assert weight_bytes(TuneSpec(quantize="nf4"), shapes, 2) == pytest.approx(6.476e9 * 4.127 / 8 + 0.525e9, rel=0.01)


def test_chatglm3_6b_on_query_key_value_trains_the_published_number(tmp_path: Path) -> None:
    folder = write_folder(tmp_path, *CHATGLM)
    assert trained_parameters(AdapterSpec(r=8, targets="query_key_value"), read_shapes(folder)) == 1_949_696


@pytest.mark.parametrize("kind", METHODS)
def test_every_method_trains_on_the_tiny_model_what_is_planned(kind: str, tiny_model: Artifact) -> None:
    adapter = AdapterSpec.model_validate({"kind": kind, "r": 4, "tokens": 6, "layers": 1})
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    wishes = Wishes(r=4, alpha=8, tokens=6, layers=1, steps=20)
    expected = sum(parameter.numel() for _, parameter in trainable(put_on(model, kind, wishes, 0)))
    assert trained_parameters(adapter, read_shapes(tiny_model.folder)) == expected


@pytest.mark.parametrize(
    ("targets", "save"),
    [
        (("all-linear", "lm_head"), ()),
        (("re:.*layers.1.*_proj",), ()),
        (("k_proj", "down_proj"), ("lm_head",)),
        ("all-linear", ("norm",)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings.*")
def test_targets_and_saved_modules_are_counted_as_peft_does(
    targets: str | tuple[str, ...], save: tuple[str, ...], tiny_model: Artifact
) -> None:
    model = load_causal(tiny_model.folder, dtype="float32", device="cpu")
    adapted = put_on(model, "lora", Wishes(r=4, targets=targets, save=save), 0)
    expected = sum(parameter.numel() for _, parameter in trainable(adapted))
    spec = TuneSpec(adapter=AdapterSpec(r=4, targets=targets, save=save))
    assert trained_parameters(spec.adapter, shapes_for(spec, tiny_model.folder)) == expected


def test_a_target_that_names_nothing_lists_the_nearest_layers(llama_2_7b: Path) -> None:
    with pytest.raises(SpecError) as caught:
        trained_parameters(AdapterSpec(targets="q_prj"), read_shapes(llama_2_7b))
    assert caught.value.where == "key adapter.targets"
    assert caught.value.mend.startswith("this model has: q_proj")


def test_more_layers_to_freeze_than_there_are_is_refused(tiny_model: Artifact) -> None:
    with pytest.raises(SpecError) as caught:
        trained_parameters(AdapterSpec(kind="freeze", layers=3), read_shapes(tiny_model.folder))
    assert (caught.value.where, caught.value.mend) == ("key adapter.layers", "set 1 to 2")


def test_a_folder_with_a_config_alone_is_planned_like_one_with_weights(tiny_model: Artifact, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes((tiny_model.folder / "config.json").read_bytes())
    bare, whole = (make_plan(TuneSpec(), each, CPU, None, "bfloat16") for each in (tmp_path, tiny_model.folder))
    assert (bare.trained, bare.parameters) == (whole.trained, whole.parameters)
    assert bare.memory.terms == whole.memory.terms


def test_memory_grows_with_tokens_width_rank_and_own_weights(tiny_model: Artifact) -> None:
    def peak(dtype: str = "bfloat16", **settings: object) -> int:
        spec = TuneSpec.model_validate(settings)
        terms = make_plan(spec, tiny_model.folder, CPU, None, dtype).memory.terms
        return sum(terms.values()) - terms["kernels"]  # more of them in bfloat16, and more than such a model

    some = peak(learn={"tokens_per_pass": 1024})
    assert some < peak(learn={"tokens_per_pass": 2048})
    assert some < peak("float32", learn={"tokens_per_pass": 1024})
    assert some < peak(learn={"tokens_per_pass": 1024}, adapter={"r": 64})
    own = make_plan(TuneSpec(adapter=AdapterSpec(kind="full")), tiny_model.folder, CPU, None, "bfloat16").memory.terms
    assert own["masters"] == own["gradients"] == 4 * own["weights"] // 2


def test_adamw_keeps_two_float32_numbers_for_each_trained_one(llama_2_7b: Path) -> None:
    terms = make_plan(TuneSpec(learn=LearnSpec(rows_per_step=1)), llama_2_7b, CPU, None, "bfloat16").memory.terms
    assert terms["optimizer"] == 2 * terms["gradients"] == 2 * terms["adapter"] == 8 * 39_976_960


def test_weights_that_were_read_wide_or_taken_apart_stay_in_the_heap(tiny_model: Artifact) -> None:
    def left(*settings: str) -> int:
        return make_plan(make(TuneSpec, settings), tiny_model.folder, CPU, None, "float32").memory.terms["left"]

    # each layer: 64 x 64 twice, 32 x 64 twice, 160 x 64 three times
    layers = 2 * (2 * 64 * 64 + 2 * 32 * 64 + 3 * 160 * 64)
    assert [left(), left("adapter.kind=pissa"), left("quantize=nf4")] == [0, 4 * layers, 4 * 207_680]


def test_the_largest_step_is_the_one_the_loop_takes(tiny_data: Artifact) -> None:
    spec = TuneSpec(learn=LearnSpec(rows_per_step=4, epochs=2), seed=3)
    load = load_of(spec, tiny_data)
    assert load.rows is not None
    assert load.steps == 2 * -(-load.rows // 4)
    assert sum(len(row.ids) for row in load.largest) >= load.tokens_per_step


@pytest.fixture(scope="module")
def ran(tiny_model: Artifact, tiny_data: Artifact, tmp_path_factory: pytest.TempPathFactory) -> tuple[Artifact, Store]:
    store = Store(tmp_path_factory.mktemp("ran") / ".luthier")
    spec = TuneSpec(
        adapter=AdapterSpec(r=3),
        learn=LearnSpec(epochs=1),
        checkpoint=CheckpointSpec(every_steps=2),
        device="cpu",
        dtype="float32",
        track=(),
    )
    return tune(spec, tiny_model, tiny_data, store, hush), store


def test_planned_and_measured_stand_side_by_side_on_the_card(ran: tuple[Artifact, Store]) -> None:
    figures = ran[0].card.figures
    planned, measured = figures["planned"], figures["measured"]
    assert {"peak_bytes", "step_seconds", "artifact_bytes", "checkpoints_bytes"} <= planned.keys() & measured.keys()
    assert measured["peak_bytes"] > 0
    assert planned["terms"]["adapter"] == 4 * figures["trained_parameters"]
    assert planned["terms"]["process"] not in PROCESS_BYTES.values()  # it is measured, once all is loaded
    assert 0.2e9 < planned["terms"]["process"] <= measured["peak_bytes"]
    assert 0 < measured["checkpoints_bytes"] <= planned["checkpoints_bytes"] * 1.2 + 100_000
    assert measured["artifact_bytes"] == pytest.approx(planned["artifact_bytes"], abs=60_000)


def test_a_run_calibrates_the_next_plan(ran: tuple[Artifact, Store], tiny_model: Artifact) -> None:
    artifact, store = ran
    known = read_calibration(store.root)
    assert known.runs == 1
    assert known.speed.keys() == {"cpu/float32/packed"}
    place = Place("cpu", "cpu", None, None)
    plan = make_plan(TuneSpec(), tiny_model.folder, place, None, "float32", store.root)
    [speed] = [chose for chose in plan.chose if chose.what == "speed"]
    assert "measured in 1 runs here" in speed.why
    assert artifact.card.figures["measured"]["step_seconds"] > 0


def test_calibration_goes_towards_what_is_measured_and_passes_over_what_cannot_be(tmp_path: Path) -> None:
    for _ in range(8):
        learn_from(tmp_path, scale=("cpu/lora/none", 1.2), speed=("cpu/float32/packed", 4e11))
    learn_from(tmp_path, scale=("cpu/lora/none", 7.0))
    known = read_calibration(tmp_path)
    assert known.scale == {"cpu/lora/none": pytest.approx(1.2)}
    assert known.speed == {"cpu/float32/packed": pytest.approx(4e11)}
    learn_from(tmp_path, scale=("cpu/lora/none", 1.0))
    assert read_calibration(tmp_path).scale["cpu/lora/none"] == pytest.approx(1.16)
    assert json.loads((tmp_path / NAME).read_text(encoding="utf-8"))["runs"] == 10


def test_longer_runs_and_slower_devices_take_more_time(tiny_model: Artifact, tiny_data: Artifact) -> None:
    speeds = [Place("cuda", "one", None, speed) for speed in (1e13, 1e14, 1e15)]
    times = [make_plan(TuneSpec(), tiny_model.folder, place, tiny_data, "bfloat16").step_seconds for place in speeds]
    assert all(slow > fast for slow, fast in pairwise(times))
