"""A model behind a prompt template is asked what stands before, then the question."""

from pathlib import Path

import pytest

from luthier.artifact.example import Conversation, Message
from luthier.artifact.order import Order
from luthier.artifact.store import Artifact, Store
from luthier.engine.ports import Prompt, Sampling
from luthier.engine.prompted import PromptTemplate, read_prompt, write_prompt
from luthier.event import hush
from luthier.recipe.openers import base_of, open_artifact

ASKED = Message("user", "How?")
TEMPLATE = PromptTemplate("t", "Be brief.", (("Who?", "She."), ("什么？", "琴。")))
SHOWN = (Message("user", "Who?"), Message("assistant", "She."), Message("user", "什么？"), Message("assistant", "琴。"))


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [
        ((ASKED,), (Message("system", "Be brief."), *SHOWN, ASKED)),
        (
            (Message("system", "You are a clerk."), ASKED),
            (Message("system", "Be brief.\n\nYou are a clerk."), *SHOWN, ASKED),
        ),
        ("a plain text", "a plain text"),
        ((1, 2, 3), (1, 2, 3)),
    ],
)
def test_a_template_stands_before_a_conversation_and_leaves_texts_alone(prompt: Prompt, wanted: Prompt) -> None:
    assert TEMPLATE.before(prompt) == wanted


def test_tools_stay_with_the_conversation() -> None:
    tools = ({"type": "function", "function": {"name": "f"}},)
    found = TEMPLATE.before(Conversation((ASKED,), tools))
    assert found == Conversation((Message("system", "Be brief."), *SHOWN, ASKED), tools)


def test_without_an_instruction_no_system_message_is_made() -> None:
    assert PromptTemplate("t").before((ASKED,)) == (ASKED,)


def test_a_template_comes_back_from_its_file(tmp_path: Path) -> None:
    write_prompt(tmp_path, TEMPLATE)
    assert read_prompt(tmp_path) == TEMPLATE


def test_a_prompt_artifact_answers_as_the_model_does_behind_its_template(
    tiny_store: Store, tiny_model: Artifact
) -> None:
    def build(out: Path, work: Path) -> dict[str, str]:
        write_prompt(out, TEMPLATE)
        return {}

    made = tiny_store.make(Order("prompt", "test", 1, {}, {"model": tiny_model.id}), build, hush)
    assert base_of(tiny_store, made) == tiny_model
    sampling = Sampling(max_tokens=6, temperature=0.0)
    wanted = open_artifact(tiny_store, tiny_model, dtype="float32").answer([TEMPLATE.before((ASKED,))], sampling, hush)
    model = open_artifact(tiny_store, made, dtype="float32")
    assert model.name == made.id
    assert model.answer([(ASKED,)], sampling, hush) == wanted
    *_, last = model.stream((ASKED,), sampling, lambda: False)
    assert last.answer == wanted[0]
