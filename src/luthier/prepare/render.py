"""Examples to tokens: what the template makes of each, how long it may be, and what is known of it then."""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.artifact.example import Conversation, Example, Message
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, LuthierError, SpecError
from luthier.model.spans import Rewritten, TrainOn
from luthier.model.template import Template
from luthier.prepare.facts import Flag
from luthier.prepare.fault import Fault
from luthier.prepare.identity import content_id
from luthier.prepare.shards import NOTHING
from luthier.prepare.spec import LengthSpec, PrepareSpec


@dataclass(frozen=True)
class Piece:
    """What one row gives: an example with its tokens. `length` and `supervised` count both answers of a pair."""

    example: Example
    tokens: Tokens
    rejected: Tokens
    length: int
    supervised: int
    flags: int


class Renderer:
    """Renders batches of examples."""

    def __init__(self, spec: PrepareSpec, template: Template) -> None:
        self.spec, self.template = spec, template
        self.max_tokens = longest(spec.length, template)
        self.controls = control_texts(template)
        self._control = re.compile("|".join(re.escape(text) for text in self.controls) or r"(?!)")

    def markers(self) -> int:
        """Count the learned tokens of an answer that stand for no character of it: its end, and marks of thinking."""
        try:
            probe = (Message("user", "a"), Message("assistant", "a"))
            learned = self.template.render(probe, reasoning=self.spec.reasoning).supervised
        except LuthierError:  # a template that wants more than this
            return 1
        return max(learned - 1, 0)  # one token is the letter itself

    def added(self) -> int:
        """Count the tokens that the tokenizer puts around a text that is to be classified."""
        return len(self.template.render_labelled([("",)])[0].ids)

    def render(self, examples: Sequence[Example]) -> list[list[Piece] | Fault]:
        """Give what each example makes: one piece, several where the template re-writes turns, or a fault."""
        found: dict[int, list[Piece] | Fault] = {}
        by_task: dict[str, list[int]] = {}
        for number, example in enumerate(examples):
            fault = self._control_fault(example)
            if fault is not None:
                found[number] = fault
            else:
                by_task.setdefault(example.task, []).append(number)
        for task, numbers in by_task.items():
            made = self._render_task(task, [examples[number] for number in numbers])
            found.update(zip(numbers, made, strict=True))
        return [found[number] for number in range(len(examples))]

    def _render_task(self, task: str, examples: list[Example]) -> Iterable[list[Piece] | Fault]:
        if task == "chat":
            return self._chats(examples, self.spec.train_on)
        if task == "kto":
            return self._chats(examples, "last")  # what is judged is the last answer
        if task == "preference":
            return self._pairs(examples)
        if task == "text":
            rows = self.template.render_plain([example.texts[0] for example in examples])
        else:
            rows = self._labelled(examples)
        return ([self._piece(example, tokens)] for example, tokens in zip(examples, rows, strict=True))

    def _chats(self, examples: Sequence[Example], train_on: TrainOn) -> Iterator[list[Piece] | Fault]:
        for example, tokens in zip(examples, self._many(examples, train_on), strict=True):
            if isinstance(tokens, Rewritten) and self.spec.rewritten == "expand":
                yield self._expanded(example, train_on)
            elif isinstance(tokens, DataError):
                yield _refused(example, tokens)
            else:
                yield [self._piece(example, tokens)]

    def _many(self, examples: Sequence[Example], train_on: TrainOn) -> list[Tokens | DataError]:
        talks = [Conversation(example.messages, example.tools) for example in examples]
        return self.template.render_many(talks, train_on, reasoning=self.spec.reasoning)

    def _expanded(self, example: Example, train_on: TrainOn) -> list[Piece] | Fault:
        """Make one example of each answer: what comes before it is written as the server would write it then."""
        apart = [replace(example, messages=some) for some in self.template.answers_apart(example.messages, train_on)]
        apart = [replace(one, id=content_id(one)) for one in apart]
        pieces = []
        for one, tokens in zip(apart, self._many(apart, train_on), strict=True):
            if isinstance(tokens, DataError):
                return _refused(example, tokens)
            pieces.append(self._piece(one, tokens))
        return pieces

    def _pairs(self, examples: Sequence[Example]) -> Iterator[list[Piece] | Fault]:
        """The worse answer is written in the better one's place, and rendered in the same way."""
        worse = [replace(one, messages=(*one.prompt, one.rejected)) for one in examples if one.rejected is not None]
        better = self._many(examples, "last")
        for example, chosen, rejected in zip(examples, better, self._many(worse, "last"), strict=True):
            if isinstance(chosen, DataError):
                yield _refused(example, chosen)
            elif isinstance(rejected, DataError):
                yield _refused(example, rejected)
            else:
                yield [self._piece(example, chosen, rejected)]

    def _labelled(self, examples: Sequence[Example]) -> list[Tokens]:
        """The tokenizer takes single texts or pairs, not both at once."""
        found: dict[int, Tokens] = {}
        for size in {len(example.texts) for example in examples}:
            numbers = [number for number, example in enumerate(examples) if len(example.texts) == size]
            rows = self.template.render_labelled([examples[number].texts for number in numbers])
            found.update(zip(numbers, rows, strict=True))
        return [found[number] for number in range(len(examples))]

    def _control_fault(self, example: Example) -> Fault | None:
        for who, text in _texts(example):
            if self._control.search(text):
                found = next(control for control in self.controls if control in text)
                return Fault(
                    "control token in a text",
                    f"the {who}'s text holds {found!r}, which would end or open a turn",
                    example.source,
                    "take it out of the text",
                )
        return None

    def _piece(self, example: Example, tokens: Tokens, rejected: Tokens = NOTHING, flags: int = 0) -> Piece:
        flags |= self._length_flags(tokens, rejected)
        length = len(tokens.ids) + len(rejected.ids)
        if flags & Flag.TRUNCATED:
            tokens, rejected = _cut(tokens, self.max_tokens), _cut(rejected, self.max_tokens)
            length = len(tokens.ids) + len(rejected.ids)
        better, worse = tokens.supervised, rejected.supervised
        if example.label is None:
            is_empty = better == 0 or (example.rejected is not None and worse == 0)
            flags |= Flag.UNSUPERVISED if is_empty else 0
            flags |= Flag.ENDLESS if not flags & Flag.TRUNCATED and not self._ends(tokens) else 0
        if flags & Flag.TOO_LONG:
            tokens = rejected = NOTHING  # nothing is made of it but an error or a count
        tokens, rejected = _weighed(tokens, example.weight), _weighed(rejected, example.weight)
        flags |= Flag.WEIGHTED if tokens.weight is not None or rejected.weight is not None else 0
        return Piece(example, tokens, rejected, length, better + worse, int(flags))

    def _length_flags(self, tokens: Tokens, rejected: Tokens) -> int:
        if max(len(tokens.ids), len(rejected.ids)) <= self.max_tokens:
            return 0
        return Flag.TRUNCATED if self.spec.length.when_longer == "truncate" else Flag.TOO_LONG

    def _ends(self, tokens: Tokens) -> bool:
        last = len(tokens.mask) - 1 - int(tokens.mask[::-1].argmax()) if len(tokens.mask) else -1
        return last >= 0 and bool(tokens.mask[last]) and int(tokens.ids[last]) in self.template.stop_ids


def _refused(example: Example, error: DataError) -> Fault:
    return Fault("refused by the chat template", error.what, f"{example.source} ({error.where})", error.mend)


def _cut(tokens: Tokens, most: int) -> Tokens:
    weight = None if tokens.weight is None else tokens.weight[:most]
    return Tokens(tokens.ids[:most], tokens.mask[:most], weight)


def _weighed(tokens: Tokens, weight: float) -> Tokens:
    """Put a row's weight on its tokens: what is learned from, and how much, stands in one file."""
    if weight == 1.0 or not len(tokens.ids):
        return tokens
    own = np.ones(len(tokens.ids), np.float32) if tokens.weight is None else tokens.weight
    return Tokens(tokens.ids, tokens.mask, own * np.float32(weight))


def _texts(example: Example) -> Iterator[tuple[str, str]]:
    """Give every text that is put between the template's marks, and whose it is."""
    for message in example.messages if example.rejected is None else (*example.messages, example.rejected):
        yield message.role, message.content
        if message.reasoning:
            yield message.role, message.reasoning
        for call in message.calls:
            yield message.role, json.dumps(dict(call.arguments), ensure_ascii=False)
    for text in example.texts:
        yield "row", text


def longest(length: LengthSpec, template: Template) -> int:
    """Give the bound in tokens. Raises SpecError if more is asked than the model takes."""
    if length.max_tokens is not None and length.max_tokens > template.context:
        raise SpecError(
            f"length.max_tokens is {length.max_tokens}, the model takes {template.context}",
            where="key length.max_tokens",
            mend=f"set it to at most {template.context}, or leave it out",
        )
    return length.max_tokens or template.context


def control_texts(template: Template) -> tuple[str, ...]:
    """Give the special tokens that build turns or texts: written in a row, they would forge an end or a turn.

    Others (`<filename>` of a code model) may stand in a text: the server reads them there in the same way.
    """
    tokenizer = template.tokenizer
    ends = {tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, *template.stop_ids}
    source = str(tokenizer.chat_template)
    return tuple(
        token.content
        for number, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special and (number in ends or token.content in source)
    )
