"""From messages to token ids and label mask: one function for preparing, training, evaluating and serving.

The model's own Jinja template is the only truth. What is learned comes from the template too, never from the pad id:
from its `{% generation %}` marks where it has them, else from prefixes: the ids up to a turn's generation prompt are
what the server would send, so what follows them, up to the stop token, is what the model must learn to say.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from luthier.artifact.example import Message, plain
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, ModelError

TrainOn = Literal["all", "last"]
"""Which assistant turns are learned."""


@dataclass(frozen=True)
class Template:
    """A model's tokenizer with its chat template."""

    tokenizer: Any
    stop_ids: frozenset[int]
    """Ids that end an answer."""
    context: int
    """The longest sequence the model takes, in tokens."""
    folder: Path

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Give the ids the server feeds: the messages, then the opening of the assistant's turn."""
        return self._ids(self._text(messages, opened=True))

    def render(self, messages: Sequence[Message], train_on: TrainOn = "all") -> Tokens:
        """Give the ids of a whole conversation, (T,), and which of them are learned, (T,).

        Raises DataError if the template re-writes earlier turns, so that no span can be told for sure.
        """
        text = self._text(messages, opened=False)
        ids = np.asarray(self._ids(text), dtype=np.int32)
        if self.marks_answers:
            return Tokens(ids, self._marked(messages, len(ids), train_on))
        mask = np.zeros(len(ids), dtype=np.bool_)
        turns = [index for index, message in enumerate(messages) if message.role == "assistant"]
        for index in turns[-1:] if train_on == "last" else turns:
            begin, end = self._span(messages, index, ids)
            mask[begin:end] = True
        return Tokens(ids, mask)

    @property
    def marks_answers(self) -> bool:
        """Whether the template itself says what the assistant generates."""
        source = str(self.tokenizer.chat_template)
        return "{% generation" in source or "{%- generation" in source

    @property
    def sha256(self) -> str:
        """A hash of the template's text, in hex: it travels in the cards."""
        return hashlib.sha256(str(self.tokenizer.chat_template).encode()).hexdigest()

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids, without special tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    def _text(self, messages: Sequence[Message], *, opened: bool) -> str:
        try:
            text: str = self.tokenizer.apply_chat_template(
                plain(messages), tokenize=False, add_generation_prompt=opened
            )
        except Exception as error:  # a template is a program of strangers: it may raise anything
            roles = ", ".join(message.role for message in messages)
            raise DataError(
                f"the chat template refuses the roles ({roles}): {error}",
                where=str(self.folder),
                mend="give the turns the roles and order the template knows",
            ) from error
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _span(
        self, messages: Sequence[Message], index: int, ids: "np.ndarray[Any, np.dtype[np.int32]]"
    ) -> tuple[int, int]:
        before = self.prompt(messages[:index])
        after = self._ids(self._text(messages[: index + 1], opened=False))
        begin, end = len(before), len(after)
        if ids[:begin].tolist() != before or ids[:end].tolist() != after:
            raise DataError(
                f"the chat template writes turn {index + 1} of {len(messages)} otherwise when others follow it",
                where=str(self.folder),
                mend="mark the answers in the template with {% generation %}, or set train_on=last",
            )
        stops = [place for place in range(begin, end) if int(ids[place]) in self.stop_ids]
        return begin, (stops[-1] + 1 if stops else end)

    def _marked(
        self, messages: Sequence[Message], count: int, train_on: TrainOn
    ) -> "np.ndarray[Any, np.dtype[np.bool_]]":
        rendered = self.tokenizer.apply_chat_template(
            plain(messages), tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        mask = np.asarray(rendered["assistant_masks"], dtype=np.bool_).reshape(-1)
        if len(mask) != count:
            raise ModelError(
                f"the template's marks cover {len(mask)} tokens, the text has {count}",
                where=str(self.folder),
                mend="use a template without {% generation %} marks",
            )
        if train_on == "last":
            mask[: len(self.prompt(messages[:-1]))] = False
        return mask


def open_template(folder: Path) -> Template:
    """Read the tokenizer and chat template of a model folder.

    Raises ModelError if the folder has no tokenizer, or its tokenizer no chat template.
    """
    tokenizer = load_tokenizer(folder)
    if not tokenizer.chat_template:
        raise ModelError(
            "the tokenizer has no chat template",
            where=str(folder),
            mend="fetch the model with template=chatml (or the path of a .jinja file)",
        )
    config = read_config(folder)
    return Template(tokenizer, _stop_ids(folder, config, tokenizer), context_of(config), folder)


def load_tokenizer(folder: Path) -> Any:
    """Load the tokenizer of a model folder, without a chat template if it has none."""
    from transformers import AutoTokenizer  # 2 s: only when words are needed

    if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt")):
        raise ModelError(
            "the model folder has no tokenizer",
            where=str(folder),
            mend="put tokenizer.json and tokenizer_config.json of the same model beside its weights",
        )
    try:
        return AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"the tokenizer cannot be read: {error}", where=str(folder), mend="fetch the model again"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a model folder. Raises ModelError if it is missing or not JSON."""
    path = folder / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(
            "the folder holds no model: there is no config.json",
            where=str(folder),
            mend="give a folder as transformers saves it (config.json, *.safetensors, tokenizer.json)",
        ) from None
    except ValueError as error:
        raise ModelError(f"config.json is not JSON: {error}", where=str(path), mend="fetch the model again") from None
    return config


def context_of(config: dict[str, Any]) -> int:
    """Give the longest sequence a model takes, in tokens, from its config."""
    inner = config.get("text_config", config)
    for name in ("max_position_embeddings", "n_positions", "seq_length", "max_sequence_length"):
        if isinstance(inner.get(name), int):
            return int(inner[name])
    return 2048


def _stop_ids(folder: Path, config: dict[str, Any], tokenizer: Any) -> frozenset[int]:
    found: list[Any] = [tokenizer.eos_token_id, config.get("eos_token_id")]
    path = folder / "generation_config.json"
    if path.exists():
        found.append(json.loads(path.read_text(encoding="utf-8")).get("eos_token_id"))
    flat = [inner for value in found for inner in (value if isinstance(value, list) else [value])]
    return frozenset(int(value) for value in flat if isinstance(value, int))
