"""The parity probes: what they find, and the hashes that travel in cards."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from template_folders import SPECIAL, open_family

from luthier.artifact.example import Message
from luthier.artifact.tokens import Tokens
from luthier.errors import ModelError
from luthier.fetch.chat_template import read_template
from luthier.model import template as template_module
from luthier.model.parity import PROBES, parity
from luthier.model.template import Template

NO_PLACE = {
    "chatml": {"tools", "thinking", "thinking, several turns"},
    "llama3": {"thinking", "thinking, several turns"},
    "glm": {"thinking", "thinking, several turns"},
    "gemma": {"thinking", "thinking, several turns"},
    "qwen3": set(),
}
"""What each family has no place for; gemma's template itself refuses tools."""


@dataclass(frozen=True)
class Shifted:
    """A template whose prompts come out one token short."""

    inner: Template

    @property
    def tokenizer(self) -> Any:
        return self.inner.tokenizer

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        return self.inner.prompt(messages, tools)[:-1]

    def render(
        self,
        messages: Sequence[Message],
        train_on: Literal["all", "last"] = "all",
        *,
        tools: Sequence[Mapping[str, Any]] = (),
    ) -> Tokens:
        return self.inner.render(messages, train_on, tools=tools)


def test_the_probes_have_everything_that_templates_treat_apart() -> None:
    talks = [probe.messages for probe in PROBES.values()]
    assert any(probe.tools for probe in PROBES.values())
    assert {message.role for talk in talks for message in talk} == {"system", "user", "assistant", "tool"}
    assert any(message.reasoning for talk in talks for message in talk)
    text = "".join(message.content for talk in talks for message in talk)
    assert all(part in text for part in ("西湖", "🦜", "\n\n\n"))
    assert max(len(talk) for talk in talks) >= 4


@pytest.mark.parametrize("name", SPECIAL)
def test_ids_are_the_same_wherever_the_template_has_a_place(tmp_path: Path, name: str) -> None:
    found = parity(open_family(tmp_path, name))
    assert {probe for probe, state in found.probes.items() if state == "no place"} == NO_PLACE[name]
    refused = {probe for probe, state in found.probes.items() if state == "refused"}
    assert refused == ({"tools"} if name == "gemma" else set())
    assert found.different == ()


def test_the_hashes_tell_template_and_ids(tmp_path: Path) -> None:
    chatml, same, other = (open_family(tmp_path / n, n[:-1]) for n in ("chatml1", "chatml2", "qwen32"))
    hashes = chatml.hashes()
    assert set(hashes) == {"template_sha256", "parity_sha256"}
    assert hashes["template_sha256"] == hashlib.sha256(read_template("chatml").encode()).hexdigest()
    assert same.hashes() == hashes
    assert other.hashes()["parity_sha256"] != hashes["parity_sha256"]


def test_a_prompt_that_is_not_the_servers_is_found_and_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    template = open_family(tmp_path, "chatml")
    found = parity(Shifted(template))
    assert "one turn" in found.different
    monkeypatch.setattr(template_module, "parity", lambda _: found)
    with pytest.raises(ModelError, match="not those of apply_chat_template") as caught:
        template.hashes()
    assert caught.value.where == str(tmp_path)
    assert "of one model" in caught.value.mend
