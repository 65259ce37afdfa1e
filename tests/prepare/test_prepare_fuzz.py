"""Whatever an answer holds, it comes back out of its tokens as it was."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.artifact.example import Message
from luthier.artifact.store import Artifact
from luthier.model.template import Template, open_template
from luthier.prepare.render import control_texts


@pytest.fixture(scope="module")
def template(tiny_model: Artifact) -> Template:
    return open_template(tiny_model.folder)


@settings(deadline=None, max_examples=150)
@given(texts=st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=30), min_size=2, max_size=6))
def test_the_answers_come_back_out_of_the_tokens_as_they_were(template: Template, texts: list[str]) -> None:
    texts = texts[: len(texts) // 2 * 2]
    if any(control in text for text in texts for control in control_texts(template)):
        return
    messages = tuple(
        Message("user", text) if number % 2 == 0 else Message("assistant", text) for number, text in enumerate(texts)
    )
    tokens = template.render(messages)
    answers = template.tokenizer.decode(tokens.ids[tokens.mask].tolist(), clean_up_tokenization_spaces=False)
    assert answers == "".join(text + "<|im_end|>" for text in texts[1::2])
