"""Calls as chat templates write them are read back; what a template cannot show is asked for as JSON."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from scripted_model import ScriptedModel, Shelf, settings, text_of

from luthier.act.agent import Agent
from luthier.act.schema import bounded, call_schema, chosen_schema
from luthier.act.ways import choose_way
from luthier.artifact.example import Conversation
from luthier.engine.ports import Prompt, Sampling
from luthier.errors import SpecError
from luthier.fetch.chat_template import read_template
from luthier.fetch.tiny import make_tokenizer
from luthier.model.template import Template, open_template


def test_a_template_way_shows_tools_and_reads_calls() -> None:
    model = ScriptedModel(
        ["look", '<tool_call>{"name": "look", "arguments": {"text": "a"}}</tool_call>', "Here."], takes_schema=False
    )
    shelf = Shelf({"look": "found", "other": "no"})
    made = Agent(settings(calls="auto"), model, shelf, name="agent")  # type: ignore[arg-type]
    [answer] = made.answer(["look it up"], Sampling())
    assert (made.way_name, answer.text, len(shelf.called)) == ("template", "Here.", 1)
    _, first, second = model.asked
    assert isinstance(first, Conversation)
    assert isinstance(second, Conversation)
    assert [tool["function"]["name"] for tool in first.tools] == ["look"]  # what was not planned is not shown
    assert [turn.role for turn in second.messages] == ["system", "user", "assistant", "tool"]
    assert second.messages[2].calls[0].id == second.messages[3].call_id


def test_a_call_that_is_not_valid_is_told_once_then_the_user_hears_of_it() -> None:
    lines = ["look", '<tool_call>{"name": "fly", "arguments": {}}</tool_call>', "<tool_call>{</tool_call>"]
    model = ScriptedModel(lines, takes_schema=False)
    made = Agent(settings(calls="template"), model, Shelf({"look": "found"}), name="agent")  # type: ignore[arg-type]
    [answer] = made.answer(["look it up"], Sampling())
    assert "there is no tool 'fly'" in text_of(model.asked[-1])
    assert answer.details["ended"] == "calls"
    assert "could not call a tool" in answer.text


@dataclass
class Templated(ScriptedModel):
    """A model whose chat template is known here."""

    template: Template | None = None
    context: int = 4096
    vocabulary: int = 1000

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        assert isinstance(prompt, Conversation)
        assert self.template
        return tuple(self.template.prompt(prompt.messages, prompt.tools))

    def spell(self, token_ids: Any) -> list[bytes]:
        return []


PLAIN = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"


def template_of(folder: Path, template: str) -> Template:
    tokenizer = make_tokenizer()
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)
    config = {"model_type": "llama", "max_position_embeddings": 4096, "eos_token_id": 2, "vocab_size": len(tokenizer)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return open_template(folder)


def test_the_way_is_chosen_by_what_template_and_engine_can(tmp_path: Path) -> None:
    knows = Templated(template=template_of(tmp_path / "qwen3", read_template("qwen3")))
    lacks = Templated(template=template_of(tmp_path / "plain", PLAIN))
    assert choose_way(knows, "auto")[0] == "template"
    way, why = choose_way(lacks, "auto")
    assert (way, "does not take tools" in why) == ("json", True)
    lacks.takes_schema = False
    with pytest.raises(SpecError) as caught:
        choose_way(lacks, "auto")
    assert "can call no tools" in caught.value.what
    assert "another engine" in caught.value.mend
    # of a server nothing is known but what it takes
    assert choose_way(ScriptedModel(), "auto")[0] == "json"
    assert choose_way(ScriptedModel(takes_schema=False), "auto")[0] == "template"


def test_every_value_the_grammar_allows_is_a_value_of_the_tools_schema() -> None:
    schema = {
        "type": "object",
        "properties": {
            "n": {"type": "integer", "minimum": 1, "exclusiveMaximum": 9},
            "when": {"type": ["string", "null"], "format": "date", "pattern": "^2"},
            "kind": {"enum": ["a", "b"]},
            "many": {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "boolean"}]}, "maxItems": 500},
            "free": {},
            "deep": {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x", "unknown"]},
        },
        "required": ["n"],
    }
    made = bounded(schema)
    Draft202012Validator.check_schema(made)
    check = Draft202012Validator(made).is_valid
    assert check({"n": 3, "kind": "a", "many": ["x", True], "free": 1.5, "deep": {"x": 1}, "when": None})
    assert not check({})
    assert not check({"n": 0})
    assert not check({"n": 1, "more": 1})  # closed, though the tool's own schema is open
    assert not check({"n": 1, "many": ["x"] * 21})  # bounded: a small model does not find the end
    assert not check({"n": 1, "free": "x" * 401})
    assert made["properties"]["deep"]["required"] == ["x"]


def test_a_decision_is_a_call_or_a_word() -> None:
    tools = list(Shelf({"look": "x", "read": "y"}).tools.values())
    check = Draft202012Validator(call_schema(tools, ("answer",))).is_valid
    assert check({"tool": "look", "arguments": {"text": "a"}})
    assert check({"tool": "answer"})
    assert not check({"tool": "fly", "arguments": {}})
    assert not check({"tool": "look"})
    assert not check({"tool": "look", "arguments": {"text": 1}})
    assert Draft202012Validator(chosen_schema(["a", "b"])).is_valid({"tools": ["b"]})
    json.dumps(call_schema(tools))
