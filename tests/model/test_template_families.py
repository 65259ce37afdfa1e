"""The shipped templates: each family's text as its public description has it, written out by hand."""

from pathlib import Path

import pytest
from template_folders import SPECIAL, learned, open_family

from luthier.artifact.example import Message, ToolCall
from luthier.errors import DataError

TALK = (
    Message("system", "Be short."),
    Message("user", "Two?"),
    Message("assistant", "2."),
    Message("user", "三?"),
    Message("assistant", "3."),
)
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
CALLING = (
    Message("user", "Sky?"),
    Message("assistant", "", calls=(ToolCall("look", {"at": "天"}, "c1"),)),
    Message("tool", "blue", name="look", call_id="c1"),
    Message("assistant", "Blue."),
)
WHOLE = {
    "chatml": "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n2."
    "<|im_end|>\n<|im_start|>user\n三?<|im_end|>\n<|im_start|>assistant\n3.<|im_end|>\n",
    "llama3": "<|endoftext|><|start_header_id|>system<|end_header_id|>\n\nBe short.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nTwo?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n2.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n三?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n3.<|eot_id|>",
    "glm": "[gMASK]<sop><|system|>\nBe short.<|user|>\nTwo?<|assistant|>\n2.<|user|>\n三?<|assistant|>\n3.<|user|>",
    "gemma": "<|endoftext|><start_of_turn>user\nBe short.\n\nTwo?<end_of_turn>\n<start_of_turn>model\n2.<end_of_turn>\n"
    "<start_of_turn>user\n三?<end_of_turn>\n<start_of_turn>model\n3.<end_of_turn>\n",
    "qwen3": "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nTwo?<|im_end|>\n<|im_start|>assistant\n2."
    "<|im_end|>\n<|im_start|>user\n三?<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n3.<|im_end|>\n",
}
LEARNED = {
    "chatml": "3.<|im_end|>",
    "llama3": "3.<|eot_id|>",
    "glm": "\n3.<|user|>",
    "gemma": "3.<end_of_turn>",
    "qwen3": "<think>\n\n</think>\n\n3.<|im_end|>",
}
OPENING = {
    "chatml": "<|im_start|>assistant\n",
    "llama3": "<|start_header_id|>assistant<|end_header_id|>\n\n",
    "glm": "<|assistant|>",
    "gemma": "<start_of_turn>model\n",
    "qwen3": "<|im_start|>assistant\n",
}
CALLED = {
    "llama3": '{"name": "look", "parameters": {"at": "天"}}<|eot_id|>',
    "glm": 'look\n{"at": "天"}<|observation|>',
    "qwen3": '<think>\n\n</think>\n\n<tool_call>\n{"name": "look", "arguments": {"at": "天"}}\n</tool_call><|im_end|>',
}
RESULT = {
    "llama3": "<|start_header_id|>ipython<|end_header_id|>\n\nblue<|eot_id|>",
    "glm": "<|observation|>\nblue<|assistant|>",
    "qwen3": "<|im_start|>user\n<tool_response>\nblue\n</tool_response><|im_end|>\n",
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_text_is_the_familys_and_the_last_answer_is_learned_with_its_end(tmp_path: Path, name: str) -> None:
    template = open_family(tmp_path, name)
    row = template.render(TALK, "last")
    assert template.tokenizer.decode(row.ids) == WHOLE[name]
    assert learned(template, row) == LEARNED[name]
    assert int(row.ids[row.mask][-1]) in template.stop_ids


@pytest.mark.parametrize("name", WHOLE)
def test_the_prompt_is_the_beginning_of_what_is_trained_on(tmp_path: Path, name: str) -> None:
    template = open_family(tmp_path, name)
    prompt = template.prompt(TALK[:-1])
    row = template.render(TALK, "last")
    assert row.ids[: len(prompt)].tolist() == prompt
    assert row.mask.tolist().index(True) == len(prompt)
    assert template.tokenizer.decode(prompt).endswith(OPENING[name])


@pytest.mark.parametrize("name", CALLED)
def test_a_call_is_learned_and_its_result_is_not(tmp_path: Path, name: str) -> None:
    template = open_family(tmp_path, name)
    first, second = template.answers_apart(CALLING)
    assert learned(template, template.render(first, tools=[TOOL])) == CALLED[name]
    row = template.render(second, tools=[TOOL])
    text = template.tokenizer.decode(row.ids)
    assert RESULT[name] in text
    assert "blue" not in learned(template, row)
    assert learned(template, row).endswith(LEARNED[name].replace("3.", "Blue.")[-8:])


@pytest.mark.parametrize("name", ["llama3", "glm"])
def test_call_and_answer_of_one_conversation_are_learned_together(tmp_path: Path, name: str) -> None:
    template = open_family(tmp_path, name)
    both = learned(template, template.render(CALLING, tools=[TOOL]))
    assert both == CALLED[name] + LEARNED[name].replace("3.", "Blue.")


def test_a_template_without_a_place_for_tools_refuses_them(tmp_path: Path) -> None:
    for number, name in enumerate(("chatml", "gemma")):
        template = open_family(tmp_path / str(number), name)
        with pytest.raises(DataError, match="no place for") as caught:
            template.render(TALK, tools=[TOOL])
        assert caught.value.where == str(tmp_path / str(number))
        assert caught.value.mend


def test_turns_in_an_order_gemma_does_not_know_are_refused(tmp_path: Path) -> None:
    template = open_family(tmp_path, "gemma")
    with pytest.raises(DataError, match="take turns"):
        template.render((TALK[1], TALK[1], TALK[2]))


def test_every_shipped_template_is_looked_at() -> None:
    shipped = Path(__file__).parents[2] / "src/luthier/fetch/templates"
    assert {path.stem for path in shipped.glob("*.jinja")} == set(WHOLE) == set(SPECIAL)
