"""From messages to ids and mask, on templates of several families."""

import shutil
from pathlib import Path

import pytest

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.errors import DataError, ModelError
from luthier.model.template import Template, open_template

TALK = (
    Message("system", "Be short. 请简短。"),
    Message("user", "What is 2 + 2? 😀"),
    Message("assistant", "4."),
    Message("user", "再加二?"),
    Message("assistant", "六, 6. 🎉"),
)
CHATML_MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n"
    "{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}{{ '\\n' }}"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEADERS = (  # in the manner of Llama 3
    "{% for m in messages %}<|im_start|>{{ m['role'] }}<|im_end|>\n\n{{ m['content'] }}<|endoftext|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant<|im_end|>\n\n{% endif %}"
)
FORGETFUL = (  # in the manner of reasoning models: earlier answers are re-written when others follow
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if loop.last or m['role'] != 'assistant' %}{{ m['content'] }}{% else %}...{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture
def with_template(tiny_model: Artifact, tmp_path: Path) -> Path:
    shutil.copytree(tiny_model.folder, tmp_path / "model")
    return tmp_path / "model"


def _open(folder: Path, template: str) -> Template:
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return open_template(folder)


def _learned(template: Template, messages: tuple[Message, ...], train_on: str = "all") -> str:
    row = template.render(messages, train_on)  # type: ignore[arg-type]
    text: str = template.tokenizer.decode(row.ids[row.mask].tolist())
    return text


def test_chatml_learns_the_answers_and_their_ends_and_nothing_else(tiny_model: Artifact) -> None:
    template = open_template(tiny_model.folder)
    assert _learned(template, TALK) == "4.<|im_end|>六, 6. 🎉<|im_end|>"
    assert _learned(template, TALK, "last") == "六, 6. 🎉<|im_end|>"


def test_the_ids_are_those_of_plain_apply_chat_template(tiny_model: Artifact) -> None:
    template = open_template(tiny_model.folder)
    messages = [{"role": m.role, "content": m.content} for m in TALK]
    expected = template.tokenizer.apply_chat_template(messages, tokenize=True, return_dict=False)
    assert template.render(TALK).ids.tolist() == expected
    opened = template.tokenizer.apply_chat_template(
        messages[:-1], tokenize=True, return_dict=False, add_generation_prompt=True
    )
    assert template.prompt(TALK[:-1]) == opened


def test_what_is_learned_follows_exactly_what_the_server_feeds(tiny_model: Artifact) -> None:
    template = open_template(tiny_model.folder)
    row = template.render(TALK, "last")
    first = row.mask.tolist().index(True)
    assert row.ids[:first].tolist() == template.prompt(TALK[:-1])


def test_a_template_with_generation_marks_gives_the_same_mask_as_prefixes(with_template: Path) -> None:
    by_prefix = open_template(with_template).render(TALK)
    marked = _open(with_template, CHATML_MARKED)
    assert marked.marks_answers
    by_marks = marked.render(TALK)
    assert by_marks.ids.tolist() == by_prefix.ids.tolist()
    assert by_marks.mask.tolist() == by_prefix.mask.tolist()
    assert _learned(marked, TALK, "last") == "六, 6. 🎉<|im_end|>"


def test_a_stop_token_that_is_not_the_tokenizers_eos_is_learned_too(with_template: Path) -> None:
    (with_template / "generation_config.json").write_text('{"eos_token_id": [0, 2]}', encoding="utf-8")
    template = _open(with_template, HEADERS)
    assert {0, 2} <= template.stop_ids
    ends = template.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    row = template.render(TALK, "last")
    assert int(row.ids[row.mask][-1]) == ends


def test_a_template_that_rewrites_earlier_turns_is_refused_unless_only_the_last_is_learned(
    with_template: Path,
) -> None:
    template = _open(with_template, FORGETFUL)
    with pytest.raises(DataError) as caught:
        template.render(TALK)
    assert caught.value.where == str(with_template)
    assert "train_on=last" in caught.value.mend
    assert _learned(template, TALK, "last") == "六, 6. 🎉<|im_end|>"


def test_a_template_that_refuses_a_role_is_quoted(with_template: Path) -> None:
    template = _open(
        with_template,
        "{% for m in messages %}{% if m['role'] == 'system' %}"
        "{{ raise_exception('no system please') }}{% endif %}{{ m['content'] }}{% endfor %}",
    )
    with pytest.raises(DataError, match="no system please") as caught:
        template.prompt(TALK)
    assert "roles and order" in caught.value.mend


def test_a_folder_without_a_tokenizer_is_refused(with_template: Path) -> None:
    (with_template / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match="no tokenizer") as caught:
        open_template(with_template)
    assert caught.value.where == str(with_template)
    assert "tokenizer.json" in caught.value.mend


def test_a_tokenizer_without_a_chat_template_is_refused(with_template: Path) -> None:
    (with_template / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template") as caught:
        open_template(with_template)
    assert caught.value.where == str(with_template)
    assert "template=chatml" in caught.value.mend


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    from luthier.model.template import read_config

    with pytest.raises(ModelError) as caught:
        read_config(tmp_path)
    assert caught.value.where == str(tmp_path)
    assert "config.json" in caught.value.mend
