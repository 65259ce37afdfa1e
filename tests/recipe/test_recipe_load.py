"""Reading a recipe: what is unknown or wrong is named with its line before anything runs."""

from pathlib import Path

import pytest

from luthier.errors import SpecError
from luthier.fetch.spec import FetchSpec
from luthier.recipe.load import load_recipe
from luthier.recipe.stages import STAGES
from luthier.tune.spec import TuneSpec

WHOLE = """\
about: from words to a model
model:
  stage: fetch
  source: tiny:llama
prepare: {source: rows.jsonl}
again:
  stage: tune
  use: {model: model, data: prepare}
  learn:
    rate: 1e-4
tune:
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, *assignments: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        load_recipe(written(folder, text), assignments)
    return caught.value


def test_a_recipe_is_its_steps_in_order(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    recipe = load_recipe(path)
    assert (recipe.path, recipe.about) == (path, "from words to a model")
    assert [(step.name, step.stage_name) for step in recipe.steps] == [
        ("model", "fetch"),
        ("prepare", "prepare"),
        ("again", "tune"),
        ("tune", "tune"),
    ]
    assert recipe.steps[0].spec == FetchSpec(source="tiny:llama")
    assert recipe.steps[2].use == {"model": "model", "data": "prepare"}
    assert [step.where for step in recipe.steps] == [
        f"{path}:{line}, key {step.name}" for step, line in zip(recipe.steps, (2, 5, 6, 11), strict=True)
    ]
    assert recipe.steps[3].spec == TuneSpec()
    assert recipe.steps[3].stage is STAGES["tune"]


def test_a_rate_written_as_1e_4_is_a_number(tmp_path: Path) -> None:
    spec = load_recipe(written(tmp_path, WHOLE)).steps[2].spec
    assert isinstance(spec, TuneSpec)
    assert spec.learn.rate == 1e-4


def test_the_command_line_lies_over_the_steps(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, WHOLE), ["tune.learn.rate=2e-5", "model.source=./here"])
    assert recipe.steps[3].spec == TuneSpec.model_validate({"learn": {"rate": 2e-5}})
    assert recipe.steps[0].spec == FetchSpec(source="./here")


def test_an_unknown_stage_names_the_nearest(tmp_path: Path) -> None:
    error = refusal(tmp_path, "fetch: {source: a}\ntunee:\n")
    assert error.what == "there is no stage 'tunee'"
    assert error.where == f"{tmp_path / 'recipe.yaml'}:2, key tunee"
    assert error.mend == "did you mean 'tune'?"


def test_a_stage_unlike_any_other_lists_them(tmp_path: Path) -> None:
    error = refusal(tmp_path, "zzz: {stage: qqq}\n")
    assert error.what == "there is no stage 'qqq'"
    assert error.mend == f"known stages: {', '.join(STAGES)} (say which with `stage:`)"


@pytest.mark.parametrize("use", ["{modle: fetch}", "fetch", "[fetch]"])
def test_an_unknown_role_names_the_roles(tmp_path: Path, use: str) -> None:
    error = refusal(tmp_path, f"fetch: {{source: a}}\ntune:\n  use: {use}\n")
    assert error.what.startswith("'tune' takes no ")
    assert error.where == f"{tmp_path / 'recipe.yaml'}:3, key tune.use"
    assert error.mend == "it takes: model, data, written as `use: {role: step}`"


def test_a_stage_that_takes_nothing_says_so(tmp_path: Path) -> None:
    assert refusal(tmp_path, "fetch: {source: a, use: {model: b}}\n").mend.startswith("it takes: nothing")


@pytest.mark.parametrize("held", ["3", "text", "[a]"])
def test_a_step_that_is_no_settings_is_refused(tmp_path: Path, held: str) -> None:
    error = refusal(tmp_path, f"fetch: {{source: a}}\ntune: {held}\n")
    assert error.what.startswith("the step 'tune' holds ")
    assert error.where == f"{tmp_path / 'recipe.yaml'}:2, key tune"
    assert error.mend == "write its settings below it, or `tune: {}`"


@pytest.mark.parametrize("target", ["later", "tune", "nowhere", "3", "[a-b]"])
def test_a_use_of_what_is_no_earlier_step_is_refused(tmp_path: Path, target: str) -> None:
    text = f"fetch: {{source: a}}\ntune:\n  use:\n    model: {target}\nlater: {{stage: fetch, source: b}}\n"
    error = refusal(tmp_path, text)
    assert error.what.startswith("model of 'tune' is ")
    assert error.what.endswith("which is no earlier step and no artifact id")
    assert error.where == f"{tmp_path / 'recipe.yaml'}:4, key tune.use.model"
    assert error.mend == "earlier steps: fetch"


def test_an_artifacts_id_may_be_used(tmp_path: Path) -> None:
    recipe = load_recipe(written(tmp_path, "tune: {use: {model: model-0123456789ab}}\n"))
    assert recipe.steps[0].use == {"model": "model-0123456789ab"}


def test_an_unknown_setting_of_a_step_names_its_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "fetch: {source: a}\ntune:\n  learn:\n    rte: 1\n")
    assert (error.what, error.mend) == ("unknown key 'learn.rte'", "did you mean 'rate'?")
    assert error.where == f"{tmp_path / 'recipe.yaml'}:4, key learn.rte"


def test_a_wrong_override_names_what_was_typed(tmp_path: Path) -> None:
    error = refusal(tmp_path, "tune:\n", "tune.learn.rate=0")
    assert error.what == "learn.rate is 0"
    assert error.where == "command line 'tune.learn.rate=0', key learn.rate"
    assert error.mend == "it should be greater than 0"


@pytest.mark.parametrize("text", ["about: nothing yet\n", "{}\n"])
def test_a_recipe_without_a_step_is_refused(tmp_path: Path, text: str) -> None:
    error = refusal(tmp_path, text)
    assert (error.what, error.where) == ("the recipe has no step", str(tmp_path / "recipe.yaml"))
    assert error.mend == "write one, for instance `fetch:`"
