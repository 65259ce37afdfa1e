"""From messages to token ids and label mask: one way for preparing, training, evaluating and serving.

The model's own Jinja template is the only truth. What is learned comes from the template too, never from the pad id:
from its `{% generation %}` marks where it has them, else from prefixes: the ids up to a turn's generation prompt are
what the server would send, so what follows them, up to the stop token, is what the model must learn to say.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from luthier.artifact.example import Conversation, Message
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, ModelError
from luthier.model.encode import Encoder
from luthier.model.jinja import Writer, forms_of
from luthier.model.mask import Ids, Masker
from luthier.model.parity import parity
from luthier.model.spans import Marker, Reasoning, TrainOn, Written, answers_apart


@dataclass(frozen=True)
class Template:
    """A model's tokenizer with its chat template."""

    tokenizer: Any
    stop_ids: frozenset[int]
    """Ids that end an answer."""
    context: int
    """The longest sequence the model takes, in tokens."""
    folder: Path

    def prompt(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> Ids:
        """Give the ids the server feeds: the messages, then the opening of the assistant's turn.

        Raises DataError if the template refuses the messages, or has no place for the tools or for a call of one.
        """
        shown = [dict(tool) for tool in tools]
        text = self._writer.text(forms_of(messages), shown, opened=True)
        self._marker.check_prompt(text, messages, shown)
        return self._encoder.ids([text])[0]

    def render(
        self,
        messages: Sequence[Message],
        train_on: TrainOn = "all",
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        reasoning: Reasoning = "learn",
    ) -> Tokens:
        """Give the ids of a whole conversation, (T,), which of them are learned, and how much each counts.

        Raises Rewritten (a DataError) if the template writes a learned turn otherwise once others follow, DataError
        if it refuses the conversation, drops something in it, or if a span cannot be told for sure.
        """
        [found] = self.render_many([Conversation(tuple(messages), tuple(tools))], train_on, reasoning=reasoning)
        if isinstance(found, DataError):
            raise found
        return found

    def render_many(
        self, talks: Sequence[Conversation], train_on: TrainOn = "all", *, reasoning: Reasoning = "learn"
    ) -> list[Tokens | DataError]:
        """Render conversations as `render` does, the tokenizer called once; errors stand in their places."""
        written = [self._write(talk, train_on, reasoning) for talk in talks]
        rows = iter(self._masker.tokens([one for one in written if isinstance(one, Written)]))
        return [one if isinstance(one, DataError) else next(rows) for one in written]

    def render_pair(
        self,
        messages: Sequence[Message],
        rejected: Message,
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        reasoning: Reasoning = "learn",
    ) -> tuple[Tokens, Tokens]:
        """Give a conversation with its better answer (the last message) and with its worse one; both are learned last.

        Raises as `render` does.
        """
        better = self.render(messages, "last", tools=tools, reasoning=reasoning)
        worse = self.render((*messages[:-1], rejected), "last", tools=tools, reasoning=reasoning)
        return better, worse

    def render_text(self, text: str) -> Tokens:
        """Give a plain text to be continued, all of it learned: with the tokenizer's own beginning, and an end."""
        return self.render_plain([text])[0]

    def render_plain(self, texts: Sequence[str]) -> list[Tokens]:
        """Give plain texts as `render_text` does, with one call of the tokenizer for all."""
        found = self.tokenizer(list(texts), verbose=False)["input_ids"] if texts else []
        end = self.tokenizer.eos_token_id
        rows = [[*ids, end] if end is not None and ids[-1:] != [end] else ids for ids in found]
        return [Tokens(np.asarray(ids, np.int32), np.ones(len(ids), np.bool_)) for ids in rows]

    def render_texts(self, texts: Sequence[str]) -> Tokens:
        """Give what is to be classified, one text or a pair, as the tokenizer itself joins them; nothing is learned."""
        return self.render_labelled([texts])[0]

    def render_labelled(self, rows: Sequence[Sequence[str]]) -> list[Tokens]:
        """Give texts, or pairs of texts, to be classified, as `render_texts` does; all rows have as many texts."""
        seconds = [row[1] for row in rows if len(row) > 1]
        pair = [seconds] if seconds else []
        found = self.tokenizer([row[0] for row in rows], *pair, verbose=False)["input_ids"] if rows else []
        return [Tokens(np.asarray(ids, np.int32), np.zeros(len(ids), np.bool_)) for ids in found]

    def answers_apart(self, messages: Sequence[Message], train_on: TrainOn = "all") -> list[tuple[Message, ...]]:
        """Give one conversation for each learned answer, for where `render` raises Rewritten: each is exact alone."""
        return answers_apart(messages, train_on)

    @property
    def marks_answers(self) -> bool:
        """Whether the template itself says what the assistant generates."""
        return self._writer.marks_answers

    @property
    def sha256(self) -> str:
        """A hash of the template's text, in hex."""
        return hashlib.sha256(self._writer.source.encode()).hexdigest()

    def hashes(self) -> dict[str, str]:
        """Give what travels in the cards: the hash of the template's text, and of the ids of the parity probes.

        Raises ModelError if a probe's ids here are not those of plain `apply_chat_template`.
        """
        found = parity(self)
        wrong = found.different
        if wrong:
            raise ModelError(
                f"the ids of {', '.join(wrong)} are not those of apply_chat_template",
                where=str(self.folder),
                mend="use the tokenizer and template of one model, saved by this version of transformers",
            )
        return {"template_sha256": self.sha256, "parity_sha256": found.sha256}

    def decode(self, ids: Sequence[int]) -> str:
        """Give the text of ids, without special tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True)
        return text

    @cached_property
    def _writer(self) -> Writer:
        return Writer(self.tokenizer, self.folder)

    @cached_property
    def _marker(self) -> Marker:
        return Marker(self._writer, self.folder)

    @cached_property
    def _encoder(self) -> Encoder:
        return Encoder(self.tokenizer)

    @cached_property
    def _masker(self) -> Masker:
        return Masker(self._encoder, self._writer.marks_answers, self.stop_ids, self.folder)

    def _write(self, talk: Conversation, train_on: TrainOn, reasoning: Reasoning) -> Written | DataError:
        try:
            return self._marker.write(talk, train_on, reasoning)
        except DataError as error:
            return error


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
