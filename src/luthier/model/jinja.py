"""A chat template's text, letter for letter as transformers' `apply_chat_template` writes it, without its detours.

The template is compiled once, by transformers' own function (its sandbox, its filters, its `{% generation %}` marks),
and called directly.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from luthier.artifact.example import Message, plain
from luthier.errors import DataError

MARK = re.compile(r"\{%-?\s*generation\s*-?%\}")
Form = dict[str, Any]
"""A message as templates take it."""


def forms_of(messages: Sequence[Message]) -> list[Form]:
    """Give messages as templates take them; what is thought stands under both names that templates know."""
    return [
        {"thinking": form["reasoning_content"], **form} if "reasoning_content" in form else form
        for form in plain(messages)
    ]


class Writer:
    """Writes conversations as one template has them."""

    def __init__(self, tokenizer: Any, folder: Path) -> None:
        self._tokenizer = tokenizer
        self._folder = folder
        self._special: Mapping[str, Any] = dict(tokenizer.special_tokens_map)

    @cached_property
    def _plain(self) -> Any:
        return self._compiled(None)

    @cached_property
    def _with_tools(self) -> Any:
        """A tokenizer may have a template of its own for conversations with tools."""
        return self._compiled([{}])

    def _compiled(self, tools: list[Form] | None) -> Any:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        return _compile_jinja_template(self._tokenizer.get_chat_template(None, tools))

    @cached_property
    def source(self) -> str:
        """The text of the template, of all of them where there are several."""
        return str(self._tokenizer.chat_template)

    @cached_property
    def marks_answers(self) -> bool:
        """Whether the template itself says what the assistant generates."""
        return MARK.search(self.source) is not None

    def text(self, forms: Sequence[Form], tools: Sequence[Form], *, opened: bool) -> str:
        """Give the text of a conversation; `opened` adds the opening of the assistant's turn.

        Raises DataError with what the template says where it refuses the conversation.
        """
        template = self._with_tools if tools else self._plain
        try:
            text: str = template.render(
                messages=list(forms),
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=opened,
                **self._special,
            )
        except Exception as error:  # a template is a program of strangers: it may raise anything
            raise self._refusal(forms, error) from error
        return text

    def marked(self, forms: Sequence[Form], tools: Sequence[Form]) -> tuple[str, list[tuple[int, int]]]:
        """Give the text of a conversation, and from where to where in it the assistant speaks, in characters."""
        template = self._with_tools if tools else self._plain
        blocks: list[str] = []
        spans: list[tuple[int, int]] = []
        try:
            with template.environment.activate_tracker(blocks, spans):
                for block in template.generate(
                    messages=list(forms),
                    tools=list(tools) or None,
                    documents=None,
                    add_generation_prompt=False,
                    **self._special,
                ):
                    blocks.append(block)
        except Exception as error:  # as above
            raise self._refusal(forms, error) from error
        return "".join(blocks), spans

    def _refusal(self, forms: Sequence[Form], error: Exception) -> DataError:
        roles = ", ".join(str(form["role"]) for form in forms)
        return DataError(
            f"the chat template refuses the roles ({roles}): {error}",
            where=str(self._folder),
            mend="give the turns the roles and order the template knows",
        )
