"""What a rule did to a row, and what was left of it."""

from dataclasses import dataclass
from typing import Literal

from luthier.artifact.example import Example

Rule = Literal[
    "encoding",
    "html",
    "personal",
    "blocklist",
    "languages",
    "min_characters",
    "max_characters",
    "exact_duplicates",
    "near_duplicates",
]
Action = Literal["changed", "masked", "dropped"]


@dataclass(frozen=True)
class Change:
    """One rule at one place of a row."""

    rule: Rule
    action: Action
    where: str
    """The place within the row, as `places.texts` names it; '' is the row as a whole."""
    before: str = ""
    """The whole text as it was; of a row left out, what it was left out for. '' where it may not be told."""
    after: str = ""
    """The whole text as it is now; '' where it may not be told, and for a row left out."""
    count: int = 1
    """How many finds."""
    kinds: tuple[tuple[str, int], ...] = ()
    """Personal data: how many of each kind, in the order of their names."""

    @property
    def can_be_undone(self) -> bool:
        """Whether `restore` puts the text back."""
        return self.action != "dropped" and self.before != self.after


@dataclass(frozen=True)
class Cleaned:
    """A row after all rules: None if one of them left it out. Its id is still that of the row as it was read."""

    example: Example | None
    changes: tuple[Change, ...] = ()
    """In the order in which they were made."""
