"""A stage has two doors, and one word in five places."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from luthier.cli.main import WORDS
from luthier.recipe.load import load_recipe
from luthier.recipe.stages import STAGES
from luthier.spec import Spec

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "src" / "luthier"
ROOMS = [*STAGES, "serve"]
HEAVY = ("torch", "transformers", "peft", "starlette", "matplotlib", "uvicorn")
RECIPES = sorted((REPOSITORY / "recipes").glob("*.yaml"))


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def spec_classes() -> Iterator[type[Spec]]:
    """Give every spec of the package, inner ones too."""
    for path in sorted(PACKAGE.rglob("*.py")):
        if "Spec" in {
            base.id
            for node in tree(path).body
            if isinstance(node, ast.ClassDef)
            for base in node.bases
            if isinstance(base, ast.Name)
        }:
            module = importlib.import_module(".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts))
            yield from (
                found
                for found in vars(module).values()
                if isinstance(found, type) and issubclass(found, Spec) and found.__module__ == module.__name__
            )


SPECS = [found for found in spec_classes() if found is not Spec]
OPENAI = tuple(
    f"luthier.serve.{name}"
    for name in ("admin", "embedding", "feedback", "request", "responses_request", "tools", "turn")
)
SETTINGS = [found for found in SPECS if found.__module__ not in OPENAI]  # there the fields are OpenAI's


def test_every_folder_with_two_doors_is_a_known_stage() -> None:
    assert sorted(path.parent.name for path in PACKAGE.glob("*/spec.py")) == sorted(ROOMS)


@pytest.mark.parametrize("stage", ROOMS)
def test_the_first_door_is_one_spec_named_like_the_stage(stage: str) -> None:
    module = importlib.import_module(f"luthier.{stage}.spec")
    name = f"{stage.capitalize()}Spec"
    assert issubclass(getattr(module, name), Spec)
    classes = {node.name for node in tree(PACKAGE / stage / "spec.py").body if isinstance(node, ast.ClassDef)}
    assert all(inner.endswith("Spec") for inner in classes), classes


@pytest.mark.parametrize("stage", ROOMS)
def test_the_second_door_is_one_public_function_named_like_the_stage(stage: str) -> None:
    body = tree(PACKAGE / stage / "run.py").body
    names = [node.name for node in body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    assert [name for name in names if not name.startswith("_")] == [stage]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_makes_something_has_a_version(stage: str) -> None:
    version = importlib.import_module(f"luthier.{stage}.run").VERSION
    assert isinstance(version, int)
    assert version >= 1


@pytest.mark.parametrize("stage", ROOMS)
def test_the_word_of_a_stage_stands_in_five_places(stage: str) -> None:
    assert stage in STAGES or stage in WORDS
    assert (PACKAGE / stage / "__init__.py").exists()
    assert hasattr(importlib.import_module(f"luthier.{stage}.spec"), f"{stage.capitalize()}Spec")
    assert list((REPOSITORY / "tests" / stage).glob("test_*.py"))
    assert (REPOSITORY / "docs" / "stages" / f"{stage}.md").exists()


def test_both_doors_load_nothing_heavy() -> None:
    names = [f"luthier.{stage}.{door}" for stage in ROOMS for door in ("spec", "run")]
    code = (
        "import importlib, sys\n"
        f"for name in {names}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [found for found in {HEAVY} if found in sys.modules]\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_specs() -> None:
    assert len(SETTINGS) > len(ROOMS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.__name__)
def test_a_spec_is_frozen_and_closed(spec: type[Spec]) -> None:
    assert spec.__bases__ == (Spec,)
    assert (spec.model_config.get("frozen"), spec.model_config.get("extra")) == (True, "forbid")


@pytest.mark.parametrize("spec", SETTINGS, ids=lambda spec: spec.__name__)
def test_every_setting_has_a_sentence(spec: type[Spec]) -> None:
    assert spec.model_fields
    assert [name for name, field in spec.model_fields.items() if not field.description] == []


def test_there_are_recipes() -> None:
    assert RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_recipe_loads_and_says_what_it_is_about(path: Path) -> None:
    recipe = load_recipe(path)
    assert recipe.about
    assert recipe.steps
