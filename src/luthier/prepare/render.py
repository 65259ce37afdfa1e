"""Examples to tokens: how long they may be, how many are taken, and what the template makes of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from luthier.artifact.example import Example
from luthier.artifact.tokens import Tokens
from luthier.errors import DataError, SpecError
from luthier.event import Progress, Tell, Warned
from luthier.model.template import Template
from luthier.prepare.fault import Fault, settle
from luthier.prepare.spec import LengthSpec, PrepareSpec

Rendered = tuple[Example, Tokens]
TOLD_EVERY = 500
"""Examples between two Progress events."""


@dataclass
class Renderer:
    """Renders one example after the other and remembers what was dropped, cut, or left without an end."""

    spec: PrepareSpec
    template: Template
    max_tokens: int
    dropped: Counter[str]
    truncated: set[str] = field(default_factory=set)
    """Ids of examples that were cut."""
    endless: set[str] = field(default_factory=set)
    """Ids of whole examples whose last learned token is no stop token."""

    def __post_init__(self) -> None:
        self.controls = control_texts(self.template)

    def render(self, example: Example) -> Tokens | None:
        """Give an example's tokens, or None where it is dropped and counted.

        Raises DataError for a bad row or one that is too long, unless the spec drops or truncates them.
        """
        fault = self._control_fault(example)
        if fault is None:
            try:
                tokens = self.template.render(example.messages, self.spec.train_on)
            except DataError as error:
                fault = Fault(
                    "refused by the chat template", error.what, f"{example.source} ({error.where})", error.mend
                )
        if fault is not None:
            settle(fault, self.spec.bad_rows, self.dropped)
            return None
        return self._fitted(tokens, example)

    def _control_fault(self, example: Example) -> Fault | None:
        for message in example.messages:
            found = [text for text in self.controls if text in message.content]
            if found:
                return Fault(
                    "control token in a text",
                    f"the {message.role}'s text holds {found[0]!r}, which would end or open a turn",
                    example.source,
                    "take it out of the text",
                )
        return None

    def _fitted(self, tokens: Tokens, example: Example) -> Tokens | None:
        length = self.spec.length
        if len(tokens.ids) > self.max_tokens:
            if length.when_longer == "error":
                raise _too_long(len(tokens.ids), self.max_tokens, self.template.context, example)
            if length.when_longer == "drop":
                self.dropped["too long"] += 1
                return None
            tokens = Tokens(tokens.ids[: self.max_tokens], tokens.mask[: self.max_tokens])
            self.truncated.add(example.id)
        elif not self._ends(tokens):
            self.endless.add(example.id)
        if tokens.supervised == 0:
            self.dropped["nothing left to learn"] += 1
            return None
        return tokens

    def _ends(self, tokens: Tokens) -> bool:
        learned = tokens.ids[tokens.mask]
        return len(learned) > 0 and int(learned[-1]) in self.template.stop_ids


def longest(length: LengthSpec, template: Template) -> int:
    """Give the bound in tokens. Raises SpecError if more is asked than the model takes."""
    if length.max_tokens is not None and length.max_tokens > template.context:
        raise SpecError(
            f"length.max_tokens is {length.max_tokens}, the model takes {template.context}",
            where="key length.max_tokens",
            mend=f"set it to at most {template.context}, or leave it out",
        )
    return length.max_tokens or template.context


def _too_long(count: int, bound: int, context: int, example: Example) -> DataError:
    raised = "" if bound == context else f", or raise length.max_tokens (the model takes {context})"
    return DataError(
        f"the example is {count} tokens long, at most {bound} fit",
        where=example.source,
        mend=f"set length.when_longer=drop or length.when_longer=truncate{raised}",
    )


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


def take(
    ordered: Sequence[Example],
    most: int | None,
    most_tokens: int | None,
    render: Callable[[Example], Tokens | None],
    dropped: Counter[str],
    show: Callable[[int], None],
) -> list[Rendered]:
    """Render examples in the given order until `most` of each tag, or `most_tokens` in all, are taken.

    The first that would pass `most_tokens` ends the taking: a later, shorter one would bend the choice.
    """
    taken: list[Rendered] = []
    by_tag: Counter[str] = Counter()
    used = 0
    for number, example in enumerate(ordered):
        show(number)
        if most is not None and by_tag[example.tag] >= most:
            dropped["over the limit"] += 1
            continue
        tokens = render(example)
        if tokens is None:
            continue
        if most_tokens is not None and used + len(tokens.ids) > most_tokens:
            dropped["over max_train_tokens"] += len(ordered) - number
            break
        used += len(tokens.ids)
        by_tag[example.tag] += 1
        taken.append((example, tokens))
    show(len(ordered))
    return taken


def progress(split: str, total: int, tell: Tell) -> Callable[[int], None]:
    """Make what tells, now and then, how many examples of a split are rendered."""

    def show(done: int) -> None:
        if done == total or (done and done % TOLD_EVERY == 0):
            tell(Progress(f"tokens of {split}", done, total, "examples"))

    return show


def warn_endless(endless: int, of: int, tell: Tell) -> None:
    """Warn if answers end without a stop token: a model trained on them would not learn to stop."""
    if endless:
        tell(
            Warned(
                f"{endless} of {of} examples end without a stop token: the model would not learn to end its answer",
                "use a chat template that closes the assistant's turn with the model's end token",
            )
        )
