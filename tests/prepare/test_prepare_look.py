"""What is shown is the text the model sees, to the letter."""

import io
import json
from pathlib import Path
from typing import Literal

import pytest
from rich.console import Console

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, KindError
from luthier.event import hush
from luthier.model.template import Template, open_template
from luthier.prepare.look import look, segments
from luthier.prepare.run import prepare
from luthier.prepare.spec import ColumnsSpec, PrepareSpec, SplitSpec

LONG = "[bold]not markup[/bold] " + "a sentence that is much longer than any line of a terminal " * 3


@pytest.fixture(scope="module")
def template(tiny_model: Artifact) -> Template:
    return open_template(tiny_model.folder)


@pytest.fixture
def made(tmp_path: Path, store: Store, tiny_model: Artifact) -> Artifact:
    rows = [
        {"q": "你好吗？", "a": "我很好 🦜", "g": "greeting", "t": "zh"},
        {"q": LONG, "a": "Yes.", "g": "x", "t": ""},
    ]
    (tmp_path / "a.json").write_text(json.dumps(rows))
    spec = PrepareSpec(
        source=str(tmp_path / "a.json"),
        columns=ColumnsSpec(user="q", assistant="a", group="g", tag="t"),
        split=SplitSpec(train=1, dev=0, test=0),
    )
    return prepare(spec, tiny_model, None, store, hush)


def shown(made: Artifact, model: Artifact, count: int, *, is_terminal: bool) -> str:
    file = io.StringIO()
    colours: Literal["standard"] | None = "standard" if is_terminal else None
    console = Console(file=file, force_terminal=is_terminal, width=60, color_system=colours, no_color=False)
    look(made, model, "train", count, console)
    return file.getvalue()


def test_off_a_terminal_learned_text_stands_in_brackets_and_the_legend_says_so(
    made: Artifact, tiny_model: Artifact
) -> None:
    text = shown(made, tiny_model, 5, is_terminal=False)
    assert text.startswith("train: 2 examples; what is learned stands [[between brackets]]\n")
    assert "<|im_start|>user\n你好吗？<|im_end|>\n<|im_start|>assistant\n[[我很好 🦜<|im_end|>]]\n" in text
    assert f"<|im_start|>user\n{LONG}<|im_end|>\n<|im_start|>assistant\n[[Yes.<|im_end|>]]\n" in text
    assert "\x1b" not in text


def test_each_example_says_where_it_came_from_and_how_long_it_is(
    made: Artifact, tiny_model: Artifact, template: Template
) -> None:
    tokens = template.render((Message("user", "你好吗？"), Message("assistant", "我很好 🦜")))
    counts = f"{len(tokens.ids)} tokens, {tokens.supervised} learned"
    text = shown(made, tiny_model, 1, is_terminal=False)
    assert f"a.json:1  tag zh  group greeting  {counts}\n" in text
    assert "Yes." not in text, "only so many as asked"


def test_on_a_terminal_learned_text_is_coloured_without_brackets(made: Artifact, tiny_model: Artifact) -> None:
    text = shown(made, tiny_model, 5, is_terminal=True)
    assert "\x1b[1;32m我很好 🦜<|im_end|>\x1b[0m" in text
    assert "\x1b[1;32mgreen\x1b[0m" in text
    assert "[[" not in text


def test_the_runs_joined_are_the_decoded_text_even_where_a_character_is_cut(template: Template) -> None:
    whole = template.render((Message("user", "鹦鹉🦜é"), Message("assistant", "🦜鹦鹉學 🦜")))
    assert len(whole.ids) > 20
    for end in range(1, len(whole.ids) + 1):
        for border in range(end):
            mask = whole.mask[:end].copy()
            mask[border] = not mask[border]
            tokens = Tokens(whole.ids[:end], mask)
            joined = "".join(piece for piece, _ in segments(template, tokens))
            assert joined == template.tokenizer.decode(tokens.ids.tolist(), skip_special_tokens=False)


def test_a_split_that_does_not_exist_is_answered_with_those_that_do(made: Artifact, tiny_model: Artifact) -> None:
    with pytest.raises(DataError) as caught:
        look(made, tiny_model, "valid", 1, Console(file=io.StringIO()))
    assert caught.value.what == "there is no split 'valid'"
    assert caught.value.where == made.id
    assert caught.value.mend == "give one of train, dev, test"
    with pytest.raises(KindError):
        look(tiny_model, tiny_model, "train", 1, Console(file=io.StringIO()))
