"""What one may ask of `prepare`."""

import codecs
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from luthier.spec import Spec

Scalar = str | int | float | bool | None
Where = dict[str, Scalar | tuple[Scalar, ...]]
"""Column -> the value it must have, or the values of which it must have one; text `1` equals the number 1."""
Cap = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


def _paths(value: str | tuple[str, ...] | None) -> str | tuple[str, ...] | None:
    """One form for one path and for a list of one, so that both give the same artifact."""
    return (value,) if isinstance(value, str) else value


def _known_encoding(value: str) -> str:
    if value != "auto":
        try:
            codecs.lookup(value)
        except LookupError:
            raise ValueError("should be auto or an encoding that Python knows: utf-8, gb18030, big5, utf-16") from None
    return value


class ColumnsSpec(Spec):
    """Which column of the file holds what."""

    system: str | None = None
    """Column of the system prompt."""
    user: str | None = None
    """Column of the question; with `assistant` it makes every row one question and one answer."""
    assistant: str | None = None
    """Column of the answer."""
    group: str | None = None
    """Column that keeps rows together when they are split."""
    tag: str | None = None
    """Column of the name under which scores are reported apart."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.user is None) != (self.assistant is None):
            raise ValueError("should name both columns, user and assistant, or neither")
        return self


class HoldOutSpec(Spec):
    """Rows that are never trained on, though their group is."""

    where: Annotated[Where, Field(min_length=1)]
    """Which rows: column -> value."""
    tag: Annotated[str, Field(min_length=1)]
    """The tag they carry in the test split."""


class SplitSpec(Spec):
    """How examples are dealt into train, dev and test."""

    train: Share = 0.9
    """Share of training examples, 0 to 1."""
    dev: Share = 0.05
    """Share of examples that training looks at without learning from them, 0 to 1."""
    test: Share = 0.05
    """Share of examples that only `evaluate` sees, 0 to 1."""
    seed: int = 0
    """Another seed deals otherwise; the same seed never moves a row, whatever is added."""
    by: Literal["content", "group"] = "content"
    """What stays on one side: rows with the same questions, or rows of one group (see columns.group)."""
    hold_out: HoldOutSpec | None = None
    """Rows kept for the test split whose group is trained on: how well does the model recall what it saw?"""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = self.train + self.dev + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"should have shares that sum to 1; train + dev + test is {total:g}")
        if self.hold_out and self.by != "group":
            raise ValueError("should say by=group, so that hold_out knows which groups are trained on")
        return self


class LengthSpec(Spec):
    """How long an example may be."""

    max_tokens: Annotated[int, Field(ge=2)] | None = None
    """The longest example, in tokens; None: the model's context."""
    when_longer: Literal["error", "drop", "truncate"] = "error"
    """What happens to a longer one: stop, leave it out, or keep its first max_tokens tokens."""


class LimitSpec(Spec):
    """At most so many examples under each tag (those without a tag count as one), chosen stably by content."""

    train: Cap | None = None
    """Training examples; None: all."""
    dev: Cap | None = None
    """Dev examples; None: all."""
    test: Cap | None = None
    """Test examples; None: all."""


class PrepareSpec(Spec):
    """Raw rows to examples in train, dev and test."""

    source: Annotated[str | tuple[str, ...] | None, AfterValidator(_paths), Field(min_length=1)] = None
    """Files to read: .csv, .tsv, .json or .jsonl, each also as .gz; None: the rows that `fetch` made."""
    form: Literal["auto", "alpaca", "messages", "conversations", "columns"] = "auto"
    """How a row is written: instruction/input/output, role/content turns, from/value turns, or plain columns."""
    columns: ColumnsSpec = ColumnsSpec()
    """Which column holds what."""
    where: Where = Field(default_factory=dict)
    """Which rows are used: column -> value, or a list of values."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "auto"
    """Encoding of the files; auto: UTF-8, with or without a byte order mark."""
    system: str | None = None
    """System prompt for rows that have none of their own."""
    split: SplitSpec = SplitSpec()
    """How examples are dealt into train, dev and test."""
    length: LengthSpec = LengthSpec()
    """How long an example may be."""
    train_on: Literal["all", "last"] = "all"
    """Which answers of a conversation are learned."""
    limit: LimitSpec = LimitSpec()
    """At most so many examples."""
    max_train_tokens: Cap | None = None
    """Training examples are added, in a stable order, while their tokens stay within this; None: all."""
    bad_rows: Literal["error", "drop"] = "error"
    """What happens to a row that cannot be used: stop, or leave it out and count it by its reason."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files to read, in their order; empty if the rows come from `fetch`."""
        return self.source if isinstance(self.source, tuple) else ()

    @model_validator(mode="after")
    def _columns_named(self) -> Self:
        if self.form == "columns" and self.columns.user is None:
            raise ValueError("should name columns.user and columns.assistant with form=columns")
        if self.form not in ("auto", "columns") and self.columns.user is not None:
            raise ValueError(f"should leave out columns.user and columns.assistant with form={self.form}")
        if self.split.by == "group" and self.columns.group is None:
            raise ValueError("should name columns.group with split.by=group")
        return self
