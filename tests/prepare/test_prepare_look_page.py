"""The page shows every token once, with its id, what is learned, and how much it weighs."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from luthier.artifact.example import Example, Message, ToolCall
from luthier.artifact.store import Artifact, Store
from luthier.artifact.tokens import read_tokens
from luthier.cli.main import main
from luthier.errors import DataError
from luthier.event import hush
from luthier.model.template import open_template
from luthier.prepare.look_page import _parts, pieces, shown_tokens, write_page
from luthier.prepare.run import prepare
from luthier.prepare.spec import PrepareSpec, SplitSpec

TRAIN = SplitSpec(train=1, dev=0, test=0)


class Page(HTMLParser):
    """Gathers the tokens of a page: (classes, tip, text)."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tokens: list[tuple[str, str, str]] = []
        self.loads: list[str] = []
        self._open: tuple[str, str] | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.loads += [given[name] for name in ("src", "href") if name in given]
        if tag == "span" and "title" in given:
            self._open = (given["class"], given["title"])
            self.tokens.append((*self._open, ""))

    def handle_data(self, data: str) -> None:
        if self._open:
            names, tip, text = self.tokens[-1]
            self.tokens[-1] = (names, tip, text + data)

    def handle_endtag(self, tag: str) -> None:
        self._open = None


def made_of(rows: list[object], tmp_path: Path, store: Store, model: Artifact) -> Artifact:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return prepare(PrepareSpec(source=str(path), split=TRAIN), model, None, store, hush)


def page_of(made: Artifact, model: Artifact, tmp_path: Path, count: int = 10) -> tuple[str, Page]:
    path = tmp_path / "look.html"
    write_page(made, model, "train", count, path)
    text = path.read_text(encoding="utf-8")
    return text, Page(text)


def test_the_tokens_of_a_page_are_those_that_are_trained_on(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    turns = [
        {"role": "user", "content": "Is <b>1 & 2</b> 三？ 🦜"},
        {"role": "assistant", "content": "是的 🦜, it is.", "weight": 0.5},
        {"role": "user", "content": "Sure?"},
        {"role": "assistant", "content": "Yes."},
    ]
    made = made_of([{"messages": turns}], tmp_path, store, tiny_model)
    text, page = page_of(made, tiny_model, tmp_path)
    [tokens] = read_tokens(made.folder, "train")
    assert [int(re.findall(r"id (\d+)", tip)[0]) for _, tip, _ in page.tokens] == tokens.ids.tolist()
    assert ["learned" in names for names, _, _ in page.tokens] == tokens.mask.tolist()
    template = open_template(tiny_model.folder)
    whole = template.tokenizer.decode(tokens.ids.tolist(), skip_special_tokens=False)
    assert "".join(piece for _, _, piece in page.tokens).replace("·", "") == whole
    assert any("weight 0.5" in tip for _, tip, _ in page.tokens)
    assert 'style="--w:0.5"' in text
    assert "turns with a weight of their own: 2" not in text
    assert "turns with a weight of their own: 1" in text
    assert page.loads == [], "the page needs no other file"
    assert "prefers-color-scheme: dark" in text


def test_pieces_joined_are_the_text_though_characters_are_spread_over_tokens(tiny_model: Artifact) -> None:
    template = open_template(tiny_model.folder)
    tokens = template.render((Message("user", "鹦鹉🦜é " * 20), Message("assistant", "🦜鹦鹉學 🦜" * 20)))
    ids = tokens.ids.tolist()
    assert len(ids) > 100
    found = pieces(template.tokenizer, ids)
    assert len(found) == len(ids)
    assert "".join(found) == template.tokenizer.decode(ids, skip_special_tokens=False)
    shown = shown_tokens(template, tokens)
    assert {one.sort for one in shown} == {"", "special", "learned", "learned special"}


def test_a_pair_shows_both_answers_and_a_class_its_label(tmp_path: Path, store: Store, tiny_model: Artifact) -> None:
    pair = {"prompt": "Which bird talks?", "chosen": "A parrot does.", "rejected": "A penguin does."}
    text, page = page_of(made_of([pair], tmp_path, store, tiny_model), tiny_model, tmp_path)
    assert "the better answer" in text
    shown = "".join(piece for _, _, piece in page.tokens)
    assert shown.count("Which bird talks?") == 1, "what both have in common is shown once"
    assert "A parrot does." in shown
    assert "penguin does." in shown
    labelled = made_of([{"text": "Lovely.", "label": "good"}], tmp_path, store, tiny_model)
    text, page = page_of(labelled, tiny_model, tmp_path)
    assert "label good" in text
    assert not any("learned" in names for names, _, _ in page.tokens)


def test_tool_calls_and_thoughts_are_named() -> None:
    turns = (
        Message("user", "What is the weather?"),
        Message("assistant", "", reasoning="I must look.", calls=(ToolCall("weather", {}), ToolCall("clock", {}))),
        Message("tool", "Sunny.", name="weather"),
        Message("assistant", "It is sunny."),
    )
    found = _parts(Example("0" * 16, turns, "a:1"))
    assert found == ["thoughts: 1", "tool calls: 2", "tool results: 1"]


def test_the_command_writes_the_page(tmp_path: Path, tiny_store: Store, tiny_data: Artifact) -> None:
    path = tmp_path / "look.html"
    main(["--project", str(tiny_store.root), "prepare", "--look-html", str(path), "--look", "2"])
    text = path.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert text.count("<article>") == 2


def test_a_page_that_cannot_be_written_says_where(
    tmp_path: Path, tiny_store: Store, tiny_data: Artifact, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "no" / "look.html"
    with pytest.raises(SystemExit):
        main(["--project", str(tiny_store.root), "prepare", "--look-html", str(path)])
    error, where, mend = capsys.readouterr().err.splitlines()[-3:]
    assert error == "error: the page cannot be written: No such file or directory"
    assert where == f"  where: {path}"
    assert mend == "  mend:  give a path in a folder that you may write to"


def test_a_split_that_does_not_exist_is_answered_with_those_that_do(
    tmp_path: Path, tiny_data: Artifact, tiny_model: Artifact
) -> None:
    with pytest.raises(DataError) as caught:
        write_page(tiny_data, tiny_model, "valid", 1, tmp_path / "look.html")
    assert caught.value.where == tiny_data.id
    assert caught.value.mend == "give one of train, dev, test"
