"""The last look at a model: its template, its own code, its stop tokens."""

import json
import shutil
from pathlib import Path

import pytest

from luthier.artifact.store import Artifact, Store
from luthier.errors import DataError, ModelError, SpecError
from luthier.event import Chose, Event, Warned, hush
from luthier.fetch.chat_template import SHIPPED
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.model.template import open_template


@pytest.fixture
def folder(tiny_model: Artifact, tmp_path: Path) -> Path:
    """A copy of the tiny model's folder, to be changed."""
    place = tmp_path / "violin"
    shutil.copytree(tiny_model.folder, place, ignore=shutil.ignore_patterns("card.json"))
    return place


def change(path: Path, **values: object) -> None:
    settings = json.loads(path.read_text(encoding="utf-8")) | values
    path.write_text(json.dumps({key: value for key, value in settings.items() if value is not None}))


def test_every_template_by_name_stands_in_the_sentence_of_the_setting() -> None:
    names = sorted(path.stem for path in SHIPPED.glob("*.jinja"))
    assert len(names) > 1
    sentence = FetchSpec.model_fields["template"].description
    assert sentence is not None
    assert all(f"`{name}`" in sentence for name in names)


def test_a_model_without_template_is_taken_and_told(folder: Path, store: Store, told: list[Event]) -> None:
    (folder / "chat_template.jinja").unlink()
    fetch(FetchSpec(source=str(folder)), store, told.append)
    warned = [event for event in told if isinstance(event, Warned)]
    assert [event.mend for event in warned] == ["set template=chatml"]


def test_chatml_is_written_where_it_is_asked_for(folder: Path, store: Store) -> None:
    (folder / "chat_template.jinja").unlink()
    change(folder / "tokenizer_config.json", chat_template="{{ 'another' }}")
    made = fetch(FetchSpec(source=str(folder), template="chatml"), store, hush)
    text = open_template(made.folder).tokenizer.apply_chat_template([{"role": "user", "content": "hi"}], tokenize=False)
    assert text == "<|im_start|>user\nhi<|im_end|>\n"  # github.com/openai/openai-python, chatml.md
    assert "chat_template" not in json.loads((made.folder / "tokenizer_config.json").read_text())


def test_a_template_of_ones_own_is_known_by_its_text(folder: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "plain.jinja"
    path.write_text("{% for message in messages %}{{ message.content }}<|im_end|>{% endfor %}")
    first = fetch(FetchSpec(source=str(folder), template=str(path)), store, hush)
    path.write_text("{% for message in messages %}{{ message.content }} <|im_end|>{% endfor %}")
    second = fetch(FetchSpec(source=str(folder), template=str(path)), store, hush)
    assert first.id != second.id
    assert (second.folder / "chat_template.jinja").read_text() == path.read_text()


def test_marks_and_loop_controls_are_jinja_too(folder: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "marked.jinja"
    path.write_text(
        "{%- for m in messages %}{%- if m.role == 'tool' %}{%- continue %}{%- endif %}"
        "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}{%- endfor %}"
    )
    assert fetch(FetchSpec(source=str(folder), template=str(path)), store, hush).exists


def test_a_template_that_is_not_there_names_the_shipped_ones(folder: Path, store: Store) -> None:
    with pytest.raises(SpecError, match="'chatlm'") as caught:
        fetch(FetchSpec(source=str(folder), template="chatlm"), store, hush)
    assert caught.value.where == "fetch, key template"
    assert "chatml" in caught.value.mend


def test_a_template_that_is_not_jinja_names_the_line(folder: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "broken.jinja"
    path.write_text("{{ messages }}\n{% for m in %}")
    with pytest.raises(DataError, match="not a Jinja template") as caught:
        fetch(FetchSpec(source=str(folder), template=str(path)), store, hush)
    assert caught.value.where == f"{path}:2"
    assert "line" in caught.value.mend


def test_a_template_that_is_not_utf8_names_the_byte(folder: Path, store: Store, tmp_path: Path) -> None:
    path = tmp_path / "latin.jinja"
    path.write_bytes("é".encode("latin-1"))
    with pytest.raises(DataError, match="byte 0 is 0xe9") as caught:
        fetch(FetchSpec(source=str(folder), template=str(path)), store, hush)
    assert (caught.value.where, caught.value.mend) == (str(path), "save the file as UTF-8")


def test_the_end_of_turns_becomes_a_stop_token(folder: Path, store: Store, told: list[Event]) -> None:
    """As base models come: their end of text is a stop, the end of a turn is not."""
    change(folder / "generation_config.json", eos_token_id=0)
    made = fetch(FetchSpec(source=str(folder)), store, told.append)
    assert json.loads((made.folder / "generation_config.json").read_text())["eos_token_id"] == [0, 2]
    why = "the chat template ends answers with it"
    assert Chose("generation_config eos_token_id", "2 <|im_end|>", why) in told


def test_a_folder_without_generation_config_gets_one(folder: Path, store: Store) -> None:
    (folder / "generation_config.json").unlink()
    made = fetch(FetchSpec(source=str(folder)), store, hush)
    assert json.loads((made.folder / "generation_config.json").read_text()) == {"eos_token_id": 2}


def test_a_template_whose_answers_never_end_is_told(folder: Path, store: Store, told: list[Event]) -> None:
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}")
    fetch(FetchSpec(source=str(folder)), store, told.append)
    assert [event.what for event in told if isinstance(event, Warned)] == [
        "the chat template ends answers with no special token"
    ]


def test_a_template_that_refuses_plain_turns_is_told(folder: Path, store: Store, told: list[Event]) -> None:
    (folder / "chat_template.jinja").write_text("{{ raise_exception('tools only') }}")
    fetch(FetchSpec(source=str(folder)), store, told.append)
    warned = [event for event in told if isinstance(event, Warned)]
    assert "tools only" in warned[0].what
    assert warned[0].mend == "set template=chatml"


CODE = """
from transformers import LlamaConfig
class ViolinConfig(LlamaConfig):
    model_type = "violin"
"""


def test_a_model_with_code_of_its_own_opens_only_if_that_is_trusted(
    folder: Path, store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    (folder / "configuration_violin.py").write_text(CODE)
    auto_map = {"AutoConfig": "configuration_violin.ViolinConfig"}
    change(folder / "config.json", model_type="violin", auto_map=auto_map)
    with pytest.raises(ModelError, match="Python code of its own") as caught:
        fetch(FetchSpec(source=str(folder)), store, hush)
    assert "auto_map" in caught.value.where
    assert "trust_remote_code=true" in caught.value.mend
    assert not store.cards()
    made = fetch(FetchSpec(source=str(folder), trust_remote_code=True), store, hush)
    assert (made.folder / "configuration_violin.py").read_text() == CODE


def test_an_architecture_nobody_knows_is_refused(folder: Path, store: Store) -> None:
    change(folder / "config.json", model_type="no_such_model")
    with pytest.raises(ModelError, match="cannot be read") as caught:
        fetch(FetchSpec(source=str(folder)), store, hush)
    assert str(store.work) in caught.value.where
    assert "transformers" in caught.value.mend
