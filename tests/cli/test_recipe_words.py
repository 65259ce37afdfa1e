"""`luthier plan` and `luthier run`: a plan makes nothing, a run says on stdout where each artifact lies."""

from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.cli.main import main

Caught = pytest.CaptureFixture[str]


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = tmp_path / "rows.csv"
    rows.write_text("question,answer\n" + "".join(f"What is {n}?,{n}.\n" for n in range(30)), encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "base: {stage: fetch, source: 'tiny:llama'}\n"
        f"prepare: {{source: {rows}, columns: {{user: question, assistant: answer}}}}\n",
        encoding="utf-8",
    )
    return path


def cells(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]


def test_a_plan_shows_every_id_and_makes_nothing(
    store: Store, recipe: Path, tiny_model: Artifact, capsys: Caught
) -> None:
    main(["--project", str(store.root), "plan", str(recipe)])
    said = capsys.readouterr()
    base, prepare = cells(said.out)
    assert base == ["base", "fetch", tiny_model.id, "", "to make"]
    assert prepare[:2] == ["prepare", "prepare"]
    assert prepare[2].startswith("examples-")
    assert prepare[3:] == [tiny_model.id, "to make"]
    assert said.err == ""
    assert not store.root.exists()


def test_a_run_says_where_each_artifact_lies_and_makes_what_was_planned(
    tiny_store: Store, recipe: Path, tiny_model: Artifact, capsys: Caught
) -> None:
    words = ["--project", str(tiny_store.root)]
    main([*words, "plan", str(recipe)])
    planned = cells(capsys.readouterr().out)
    assert [row[4] for row in planned] == ["made", "to make"]
    main([*words, "run", str(recipe)])
    first = capsys.readouterr()
    assert first.out.splitlines() == [
        f"base     {tiny_store.artifacts / planned[0][2]}",
        f"prepare  {tiny_store.artifacts / planned[1][2]}",
    ]
    main([*words, "run", str(recipe)])
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err.count("is there already") == 2
    assert "made" not in second.err


def test_settings_on_the_command_line_are_laid_over_the_recipe(
    store: Store, recipe: Path, tiny_model: Artifact, capsys: Caught
) -> None:
    plans = []
    for words in ([], ["prepare.split.seed=3"]):
        main(["--project", str(store.root), "plan", str(recipe), *words])
        plans.append(cells(capsys.readouterr().out))
    assert plans[0][0] == plans[1][0]
    assert plans[0][1][2] != plans[1][1][2]


@pytest.mark.parametrize("word", ["plan", "run"])
def test_a_recipe_that_is_wrong_is_three_lines_and_makes_nothing(
    word: str, store: Store, recipe: Path, capsys: Caught
) -> None:
    recipe.write_text(recipe.read_text(encoding="utf-8") + "tunee: {}\n", encoding="utf-8")
    with pytest.raises(SystemExit) as caught:
        main(["--project", str(store.root), word, str(recipe)])
    assert caught.value.code == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.splitlines() == [
        "error: there is no stage 'tunee'",
        f"  where: {recipe}:3, key tunee",
        "  mend:  did you mean 'tune'?",
    ]
    assert not store.artifacts.exists()


def test_a_recipe_that_is_not_there_names_one_that_is(store: Store, recipe: Path, capsys: Caught) -> None:
    with pytest.raises(SystemExit):
        main(["--project", str(store.root), "plan", str(recipe.parent / "recip.yaml")])
    assert f"  mend:  did you mean {recipe}?" in capsys.readouterr().err
