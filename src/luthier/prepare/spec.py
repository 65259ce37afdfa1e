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
Form = Literal[
    "auto",
    "alpaca",
    "conversations",
    "messages",
    "completion",
    "preference",
    "kto",
    "classification",
    "reading",
    "extraction",
    "text",
    "columns",
]


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
    """Which column of the file holds what; a name left out is the one its form is known by."""

    system: str | None = None
    """Column of the system prompt."""
    user: str | None = None
    """Column of the question; with `assistant` it makes every row one question and one answer."""
    assistant: str | None = None
    """Column of the answer."""
    history: str | None = None
    """Column of earlier turns, as pairs of question and answer."""
    messages: str | None = None
    """Column of the list of turns."""
    tools: str | None = None
    """Column of the tools that may be called."""
    chosen: str | None = None
    """Column of the better answer of a pair."""
    rejected: str | None = None
    """Column of the worse answer of a pair."""
    text: str | None = None
    """Column of the text: to continue, to classify, or to extract from."""
    second_text: str | None = None
    """Column of the other text where pairs are classified."""
    label: str | None = None
    """Column of the class, the classes or the number; with form=kto, of whether the answer is wanted."""
    weight: str | None = None
    """Column of how much a row counts in the loss."""
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
    stratify: bool = False
    """Whether each class (see columns.label) is dealt by its own shares; a new row may then move one other row."""
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


Personal = Literal["email", "phone", "id_card", "bank_card", "ip", "wechat", "qq", "plate"]
PERSONAL: tuple[Personal, ...] = ("email", "phone", "id_card", "bank_card", "ip", "wechat", "qq", "plate")


class CleanSpec(Spec):
    """What is mended or left out before rows are split; each rule counts, and `cleaned.jsonl` says what it did."""

    exact_duplicates: Literal["keep", "drop"] = "drop"
    """Rows whose content is the same, letter by letter."""
    near_duplicates: Annotated[float, Field(ge=0.5, le=1)] | None = None
    """Leave out rows whose words are alike at least to this share (Jaccard, by MinHash); None: keep them."""
    languages: tuple[str, ...] = ()
    """Languages that are kept (zh, en ...), told by content; none: all."""
    encoding: Literal["keep", "mend", "drop"] = "keep"
    """Text that was read with a wrong encoding once (`Ã©`), and characters that replace lost ones."""
    html: Literal["keep", "strip", "drop"] = "keep"
    """Left-overs of web pages: tags and entities."""
    min_characters: Annotated[int, Field(ge=0)] = 0
    """Shortest answer (or text) that is kept."""
    max_characters: Cap | None = None
    """Longest row that is kept, all its texts together; None: any."""
    personal: Literal["keep", "mask", "drop"] = "keep"
    """Personal data: put a name of its kind in its place (`[email]`), or leave the row out."""
    personal_kinds: tuple[Personal, ...] = PERSONAL
    """Which personal data; a card's number counts only with a right check digit, or called an identity card."""
    blocklist: str | None = None
    """File of words and phrases, one a line, `re:` before a pattern."""
    blocked: Literal["drop", "mask"] = "drop"
    """What happens to a row that holds one of them."""


class MixSpec(Spec):
    """How several sets become one training split; dev and test are never repeated or thinned out."""

    by: Literal["rows", "weight", "temperature"] = "rows"
    """Each set as it is, by the sets' weights, or by their sizes to the power of 1 / temperature."""
    temperature: Annotated[float, Field(gt=0)] = 2.0
    """1: by size; large: every set alike."""
    until: Literal["first", "all"] = "all"
    """Up to where: until the first set is used up (none repeated), or until all are (small ones repeated)."""


class PackSpec(Spec):
    """How examples share rows of the context length."""

    tokens: Annotated[int, Field(ge=2)] | None = None
    """Length of a packed row; None: length.max_tokens."""


class LintSpec(Spec):
    """What `--lint` holds the data against."""

    against: tuple[str, ...] = ()
    """Evaluation sets whose questions should not stand in the training split: files of rows, task files (.yaml),
    shipped tasks by name. `TASK=FILE` says where a task's rows are; else they are those that the recipe, or the newest
    scores here, ask it with."""
    words: Annotated[int, Field(ge=3)] = 13
    """How many words in a row count as the same passage (13: Brown et al. 2020, arXiv:2005.14165, appendix C)."""
    recall: tuple[str, ...] = ()
    """Tags of test rows that are meant to stand in the training split, besides split.hold_out's."""


class SetSpec(Spec):
    """One of several sets of rows."""

    source: Annotated[str | tuple[str, ...], AfterValidator(_paths), Field(min_length=1)]
    """Files, folders or patterns to read."""
    form: Form = "auto"
    """How a row is written."""
    columns: ColumnsSpec = ColumnsSpec()
    """Which column holds what."""
    map: dict[str, str] = Field(default_factory=dict)
    """Column -> Jinja text over the file's columns; where given, the form is read from these columns alone."""
    where: Where = Field(default_factory=dict)
    """Which rows are used: column -> value, or a list of values."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "auto"
    """Encoding of the files."""
    system: str | None = None
    """System prompt for rows that have none of their own."""
    weight: Annotated[float, Field(gt=0)] = 1.0
    """Share in the mix, relative to the other sets."""
    tag: str = ""
    """Tag of its rows that have none of their own: loss and scores are reported apart by it."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, folders and patterns to read, in their order."""
        return self.source if isinstance(self.source, tuple) else (self.source,)

    @model_validator(mode="after")
    def _columns_named(self) -> Self:
        if self.form == "columns" and self.columns.user is None:
            raise ValueError("should name columns.user and columns.assistant with form=columns")
        if self.form not in ("auto", "columns") and self.columns.user is not None:
            raise ValueError(f"should leave out columns.user and columns.assistant with form={self.form}")
        return self


class PrepareSpec(Spec):
    """Raw rows to examples in train, dev and test."""

    source: Annotated[str | tuple[str, ...] | None, AfterValidator(_paths), Field(min_length=1)] = None
    """Files, folders or patterns (`data/*.jsonl`) to read: .csv, .tsv, .json, .jsonl, .parquet, .txt, each but
    Parquet also as .gz or .zst; `dataset:NAME` reads through `datasets`; None: the rows that `fetch` made."""
    sets: tuple[SetSpec, ...] = ()
    """Several sets instead of one source, each with its own form."""
    form: Form = "auto"
    """How a row is written: auto recognises it by its columns and tells which."""
    columns: ColumnsSpec = ColumnsSpec()
    """Which column holds what."""
    map: dict[str, str] = Field(default_factory=dict)
    """Column -> Jinja text over the file's columns; where given, the form is read from these columns alone."""
    where: Where = Field(default_factory=dict)
    """Which rows are used: column -> value, or a list of values."""
    encoding: Annotated[str, AfterValidator(_known_encoding)] = "auto"
    """Encoding of the files; auto: UTF-8, with or without a byte order mark."""
    system: str | None = None
    """System prompt for rows that have none of their own."""
    clean: CleanSpec = CleanSpec()
    """What is mended or left out."""
    split: SplitSpec = SplitSpec()
    """How examples are dealt into train, dev and test."""
    mix: MixSpec = MixSpec()
    """How several sets become one training split."""
    length: LengthSpec = LengthSpec()
    """How long an example may be."""
    pack: PackSpec = PackSpec()
    """How examples share rows."""
    train_on: Literal["all", "last"] = "all"
    """Which answers of a conversation are learned; a turn's own `weight` comes before it."""
    reasoning: Literal["learn", "mask"] = "learn"
    """Whether what the assistant thinks before its answer is learned too."""
    rewritten: Literal["expand", "error"] = "expand"
    """Where the template writes a turn otherwise once others follow: make one example of each answer, or stop."""
    weights: str | None = None
    """File of row weights by content id (`{"id": ..., "weight": ...}` lines, as `tune` writes its ledger); 0 drops."""
    limit: LimitSpec = LimitSpec()
    """At most so many examples."""
    max_train_tokens: Cap | None = None
    """Training examples are added, in a stable order, while their tokens stay within this; None: all."""
    bad_rows: Literal["error", "drop"] = "error"
    """What happens to a row that cannot be used: stop, or leave it out and count it by its reason."""
    lint: LintSpec = LintSpec()
    """What `--lint` holds the data against."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The files to read, in their order; empty if the rows come from `fetch` or from several sets."""
        return self.source if isinstance(self.source, tuple) else ()

    def all_sets(self, paths: tuple[str, ...] = ()) -> tuple[SetSpec, ...]:
        """Give the sets: those named, or the one that the plain settings describe; `paths` stands in for its source."""
        if self.sets:
            return self.sets
        return (
            SetSpec(
                source=self.paths or paths,
                form=self.form,
                columns=self.columns,
                map=self.map,
                where=self.where,
                encoding=self.encoding,
                system=self.system,
            ),
        )

    @model_validator(mode="after")
    def _mix_heeded(self) -> Self:
        if self.mix.by != "weight" and any(one.weight != 1 for one in self.sets):
            raise ValueError(f"should give sets weights with mix.by=weight alone, not {self.mix.by}")
        if self.mix.by != "temperature" and self.mix.temperature != MixSpec().temperature:
            raise ValueError(f"should leave out mix.temperature with mix.by={self.mix.by}")
        if self.mix.by == "rows" and self.mix.until != MixSpec().until:
            raise ValueError("should leave out mix.until with mix.by=rows")
        return self

    @model_validator(mode="after")
    def _columns_named(self) -> Self:
        if self.form == "columns" and self.columns.user is None:
            raise ValueError("should name columns.user and columns.assistant with form=columns")
        if self.form not in ("auto", "columns") and self.columns.user is not None:
            raise ValueError(f"should leave out columns.user and columns.assistant with form={self.form}")
        grouped = [one.columns.group for one in self.sets] if self.sets else [self.columns.group]
        if self.split.by == "group" and None in grouped:
            raise ValueError("should name columns.group with split.by=group")
        return self

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if self.sets and self.source is not None:
            raise ValueError("should name sets or a source, not both")
        own = ("form", "columns", "map", "where", "encoding", "system")
        set_twice = [name for name in own if name in self.model_fields_set]
        if self.sets and set_twice:
            raise ValueError(f"should say {set_twice[0]} inside each of the sets")
        if self.mix.by != "rows" and len(self.sets) < 2:
            raise ValueError("should name at least two sets with mix.by")
        return self
