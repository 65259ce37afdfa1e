"""One row to be asked, wherever it came from: prepared examples, or the rows of a task of its own."""

from dataclasses import dataclass

from luthier.artifact.tokens import Tokens
from luthier.engine.ports import Prompt
from luthier.measure.task import HELDOUT


@dataclass(frozen=True)
class Proof:
    """How an answer that is code is proven."""

    begin: str
    """The code that the answer goes on with."""
    test: str
    """Code that defines `check(candidate)`."""
    entry: str
    """The function that is tested."""


@dataclass(frozen=True)
class Question:
    """One row to be asked, and what its answer is held against."""

    id: str
    source: str
    """Where it came from: `file:line`."""
    shown: str
    """What a person reads of it in the report."""
    reference: str
    asked: str = ""
    """The question itself, without examples or instructions."""
    prompt: Prompt | None = None
    """What is asked; None where only a text is scored."""
    tokens: Tokens | None = None
    """The reference behind its prompt, as it was prepared."""
    options: tuple[str, ...] = ()
    """How the prompt may go on: the likeliest is the answer."""
    context: str = ""
    """The facts an answer must follow from."""
    claim: str = ""
    """The answer that a judge on trial judges."""
    proof: Proof | None = None
    label: str = ""
    """The tag, '' where it has none."""
    bound: str = ""
    """What it is right or wrong together with."""

    @property
    def tag(self) -> str:
        """The name its scores are reported under."""
        return self.label or HELDOUT

    @property
    def group(self) -> str:
        """What it is drawn together with in a bootstrap."""
        return self.bound or self.id
