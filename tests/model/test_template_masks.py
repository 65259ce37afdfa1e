"""What is learned: weights of turns, thinking, pairs, plain texts; many conversations at once."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from template_folders import learned, open_family
from transformers import AutoTokenizer

from luthier.artifact.example import Conversation, Message, ToolCall, plain
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, ModelError
from luthier.model.spans import Rewritten
from luthier.model.template import Template

TALK = (
    Message("user", "Two?"),
    Message("assistant", "2."),
    Message("user", "三?"),
    Message("assistant", "3."),
)
THOUGHT = (Message("user", "17*3?"), Message("assistant", "51.", reasoning="30 + 21"))
MARKED = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}<|im_start|>assistant\n{% generation %}"
    "{{ '<think>' + m['reasoning_content'] + '</think>' if m['reasoning_content'] else '' }}"
    "{{ m['content'] }}<|im_end|>{% endgeneration %}{{ '\\n' }}"
    "{% else %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BACKWARDS = (  # what was thought stands behind the answer
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}{{ m['reasoning_content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
OPENED = (  # the opening holds more than the template writes before a whole answer
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n<think>{% endif %}"
)
PIECES = ("\n", " ", "a", "12", "<|im_end|>", "<|im_start|>", "<|im_", "<think>", "🦜", "你好", "é", "  b\n", ".")
CONTENT = st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join)


@pytest.fixture(scope="module")
def chatml(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return open_family(tmp_path_factory.mktemp("chatml"), "chatml")


@pytest.fixture(scope="module")
def qwen3(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return open_family(tmp_path_factory.mktemp("qwen3"), "qwen3")


@pytest.fixture(scope="module")
def llama3(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return open_family(tmp_path_factory.mktemp("llama3"), "llama3")


@pytest.fixture(scope="module")
def marked(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return open_family(tmp_path_factory.mktemp("marked"), "chatml", MARKED)


def in_turns(talk: list[str]) -> tuple[Message, ...]:
    """Make turns of texts, as many questions as answers."""
    whole = talk[: len(talk) // 2 * 2]
    return tuple(Message("assistant" if place % 2 else "user", text) for place, text in enumerate(whole))


def weighed(messages: tuple[Message, ...], *weights: float | None) -> tuple[Message, ...]:
    given_weights = iter(weights)
    return tuple(
        Message(m.role, m.content, m.reasoning, weight=next(given_weights)) if m.role == "assistant" else m
        for m in messages
    )


def by_definition(tokenizer: Any, messages: tuple[Message, ...], stop: int) -> tuple[list[int], list[bool]] | None:
    """Ids and mask by plain apply_chat_template, prefix by prefix; None where they are no prefixes."""

    def ids(part: tuple[Message, ...], opened: bool) -> list[int]:
        found: list[int] = tokenizer.apply_chat_template(
            plain(part), tokenize=True, return_dict=False, add_generation_prompt=opened
        )
        return found

    whole = ids(messages, False)
    mask = [False] * len(whole)
    for index in [index for index, message in enumerate(messages) if message.role == "assistant"]:
        before, after = ids(messages[:index], True), ids(messages[: index + 1], False)
        if whole[: len(before)] != before or whole[: len(after)] != after:
            return None
        end = max([place + 1 for place in range(len(before), len(after)) if whole[place] == stop] or [len(after)])
        mask[len(before) : end] = [True] * (end - len(before))
    return whole, mask


@settings(max_examples=80, deadline=None)
@given(talks=st.lists(st.lists(CONTENT, min_size=2, max_size=4), min_size=1, max_size=4))
@pytest.mark.parametrize("family", ["chatml", "llama3", "qwen3"])
def test_many_at_once_are_what_plain_prefixes_give_one_by_one(
    family: str, talks: list[list[str]], request: pytest.FixtureRequest
) -> None:
    template: Template = request.getfixturevalue(family)
    tokenizer = AutoTokenizer.from_pretrained(template.folder)
    conversations = [in_turns(talk) for talk in talks]
    found = template.render_many([Conversation(talk) for talk in conversations])
    assert len(found) == len(talks)
    for talk, row in zip(conversations, found, strict=True):
        wanted = by_definition(tokenizer, talk, min(template.stop_ids - {2}, default=2))
        if wanted is None:
            assert isinstance(row, DataError)
        else:
            assert isinstance(row, Tokens)
            assert (row.ids.tolist(), row.mask.tolist()) == wanted


def test_a_turns_own_weight_comes_before_train_on(chatml: Template) -> None:
    row = chatml.render(weighed(TALK, 0.5, None))
    assert row.weight is not None
    assert row.weight.dtype == np.float32
    assert set(row.weight[row.mask].tolist()) == {0.5, 1.0}
    assert set(row.weight[~row.mask].tolist()) == {1.0}
    assert learned(chatml, chatml.render(weighed(TALK, 0.0, None))) == "3.<|im_end|>"
    assert learned(chatml, chatml.render(weighed(TALK, 2.0, None), "last")) == "2.<|im_end|>3.<|im_end|>"
    assert not chatml.render(weighed(TALK, 0.0, 0.0)).mask.any()


def test_without_weights_none_are_kept(chatml: Template) -> None:
    assert chatml.render(TALK).weight is None
    assert chatml.render(weighed(TALK, 1.0, None)).weight is None


def test_errors_stand_in_their_places(chatml: Template) -> None:
    good, bad = Conversation(TALK), Conversation((Message("assistant", "2."),))
    first, second, third = chatml.render_many([good, bad, good])
    assert isinstance(first, Tokens)
    assert isinstance(third, Tokens)
    assert first.ids.tolist() == third.ids.tolist()
    assert isinstance(second, DataError)
    assert "begins with the assistant" in second.what
    assert second.where == str(chatml.folder)
    assert "weight 0" in second.mend
    assert chatml.render_many([]) == []


def test_an_answer_that_shares_a_token_with_its_opening_is_refused(chatml: Template) -> None:
    shared = (Message("user", "a"), Message("assistant", "\nb"))
    tokenizer = chatml.tokenizer
    if len(tokenizer("\n\n")["input_ids"]) > 1:
        tokenizer.add_tokens(["\n\n"])
    with pytest.raises(DataError, match="share a token") as caught:
        chatml.render(shared)
    assert caught.value.where == str(chatml.folder)
    assert "line breaks" in caught.value.mend
    assert "not a blank" in caught.value.mend


def test_thinking_is_learned_or_masked_with_its_markers(qwen3: Template) -> None:
    assert learned(qwen3, qwen3.render(THOUGHT)) == "<think>\n30 + 21\n</think>\n\n51.<|im_end|>"
    assert learned(qwen3, qwen3.render(THOUGHT, reasoning="mask")) == "51.<|im_end|>"
    assert qwen3.render(THOUGHT, reasoning="mask").ids.tolist() == qwen3.render(THOUGHT).ids.tolist()


def test_an_empty_thinking_part_is_masked_too(qwen3: Template) -> None:
    assert learned(qwen3, qwen3.render(TALK[:2], reasoning="mask")) == "2.<|im_end|>"


def test_a_call_behind_masked_thinking_is_learned(qwen3: Template) -> None:
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    call = Message("assistant", "", reasoning="Let me look.", calls=(ToolCall("look", {}),))
    row = qwen3.render((TALK[0], call), tools=[tool], reasoning="mask")
    assert learned(qwen3, row) == '<tool_call>\n{"name": "look", "arguments": {}}\n</tool_call><|im_end|>'


@pytest.mark.parametrize("thought", ["30 + 21", ""])
def test_thinking_inside_the_answers_text_is_masked_too(qwen3: Template, chatml: Template, thought: str) -> None:
    row = (THOUGHT[0], Message("assistant", f"<think>\n{thought}\n</think>\n\n51."))
    for template in (qwen3, chatml):
        assert learned(template, template.render(row)) == f"<think>\n{thought}\n</think>\n\n51.<|im_end|>"
        assert learned(template, template.render(row, reasoning="mask")) == "51.<|im_end|>"


def test_thinking_in_the_text_that_a_template_writes_otherwise_is_refused(tmp_path: Path) -> None:
    template = open_family(tmp_path, "chatml", BACKWARDS)
    row = (THOUGHT[0], Message("assistant", "<think>30 + 21</think>51.", reasoning="more"))
    with pytest.raises(DataError, match="cannot be told for sure"):
        template.render(row, reasoning="mask")


def test_masking_changes_nothing_where_nothing_is_thought(chatml: Template) -> None:
    assert chatml.render(TALK, reasoning="mask").mask.tolist() == chatml.render(TALK).mask.tolist()


def test_thinking_that_would_be_dropped_in_silence_is_refused(chatml: Template) -> None:
    with pytest.raises(DataError, match="no place for what is thought") as caught:
        chatml.render(THOUGHT)
    assert caught.value.where == str(chatml.folder)
    assert "template=qwen3" in caught.value.mend
    assert learned(chatml, chatml.render(THOUGHT, reasoning="mask")) == "51.<|im_end|>"


def test_thinking_behind_the_answer_cannot_be_told_from_it(tmp_path: Path) -> None:
    template = open_family(tmp_path, "chatml", BACKWARDS)
    with pytest.raises(DataError, match="cannot be told for sure") as caught:
        template.render(THOUGHT, reasoning="mask")
    assert caught.value.where == str(tmp_path)
    assert "reasoning=learn" in caught.value.mend


def test_an_opening_that_answers_do_not_begin_with_is_refused(tmp_path: Path) -> None:
    template = open_family(tmp_path, "chatml", OPENED)
    with pytest.raises(DataError, match="opens an answer otherwise") as caught:
        template.render(TALK)
    assert caught.value.where == str(tmp_path)
    assert "{% generation %}" in caught.value.mend


def test_marks_give_weights_and_masked_thinking_as_prefixes_do(tmp_path: Path) -> None:
    template = open_family(tmp_path, "chatml", MARKED)
    assert template.marks_answers
    assert learned(template, template.render(THOUGHT)) == "<think>30 + 21</think>51.<|im_end|>"
    assert learned(template, template.render(THOUGHT, reasoning="mask")) == "51.<|im_end|>"
    row = template.render(weighed(TALK, 0.5, 0.0))
    assert row.weight is not None
    assert learned(template, row) == "2.<|im_end|>"
    assert set(row.weight[row.mask].tolist()) == {0.5}


@settings(max_examples=60, deadline=None)
@given(talk=st.lists(CONTENT, min_size=2, max_size=4))
def test_marks_are_placed_as_transformers_places_them(talk: list[str], marked: Template) -> None:
    messages = in_turns(talk)
    wanted = marked.tokenizer.apply_chat_template(
        plain(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    row = marked.render(messages)
    assert row.ids.tolist() == wanted["input_ids"]
    assert row.mask.tolist() == [bool(learns) for learns in wanted["assistant_masks"]]


def test_marks_that_are_not_one_for_each_answer_cannot_be_weighed(tmp_path: Path) -> None:
    twice = MARKED.replace("{% endgeneration %}", "{% endgeneration %}{% generation %}{% endgeneration %}")
    template = open_family(tmp_path, "chatml", twice)
    assert learned(template, template.render(TALK)) == "2.<|im_end|>3.<|im_end|>"
    with pytest.raises(DataError, match="marks 4 answers, the conversation has 2") as caught:
        template.render(TALK, "last")
    assert caught.value.where == str(tmp_path)
    assert "train_on=all" in caught.value.mend


def test_rewritten_answers_are_each_exact_apart(qwen3: Template) -> None:
    with pytest.raises(Rewritten) as caught:
        qwen3.render(TALK)
    assert caught.value.where == str(qwen3.folder)
    assert "rewritten=expand" in caught.value.mend
    parts = qwen3.answers_apart(TALK)
    assert [len(part) for part in parts] == [2, 4]
    rows = [qwen3.render(part) for part in parts]
    assert [learned(qwen3, row) for row in rows] == [f"<think>\n\n</think>\n\n{n}.<|im_end|>" for n in (2, 3)]
    for part, row in zip(parts, rows, strict=True):
        assert row.mask.tolist().index(True) == len(qwen3.prompt(part[:-1]))


def test_answers_that_are_not_learned_get_no_example_of_their_own(qwen3: Template) -> None:
    assert qwen3.answers_apart(weighed(TALK, 0.0, None)) == [weighed(TALK, 0.0, None)]
    assert [part[-1].weight for part in qwen3.answers_apart(weighed(TALK, 0.5, None))] == [0.5, None]
    assert qwen3.answers_apart(TALK, "last") == [weighed(TALK, 0.0, None)]


def test_a_pair_shares_its_prompt(llama3: Template) -> None:
    better, worse = llama3.render_pair(TALK, Message("assistant", "4!"))
    assert learned(llama3, better) == "3.<|eot_id|>"
    assert learned(llama3, worse) == "4!<|eot_id|>"
    count = len(llama3.prompt(TALK[:-1]))
    assert better.ids[:count].tolist() == worse.ids[:count].tolist()


def test_a_plain_text_ends_with_a_learned_end_and_begins_as_the_tokenizer_has_it(chatml: Template) -> None:
    row = chatml.render_text("Once upon a time")
    assert chatml.tokenizer.decode(row.ids) == "Once upon a time<|im_end|>"
    assert row.mask.all()
    assert chatml.render_plain([]) == []
    assert [len(row.ids) for row in chatml.render_plain(["", "<|im_end|>"])] == [1, 1]


def test_texts_to_classify_are_joined_by_the_tokenizer_and_nothing_is_learned(chatml: Template) -> None:
    pair = chatml.render_texts(("a river", "a bridge"))
    assert pair.ids.tolist() == chatml.tokenizer("a river", "a bridge")["input_ids"]
    assert not pair.mask.any()
    assert chatml.render_texts(("a river",)).ids.tolist() == chatml.tokenizer("a river")["input_ids"]
    assert chatml.render_labelled([]) == []


def test_a_tokenizer_without_offsets_cannot_place_marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = open_family(tmp_path, "chatml", MARKED)
    monkeypatch.setattr(template._encoder, "_backend", None)
    with pytest.raises(ModelError, match="which characters") as caught:
        template.render(TALK)
    assert caught.value.where == str(tmp_path)
    assert "without {% generation %} marks" in caught.value.mend
