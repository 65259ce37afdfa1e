"""What is wrong with one row: an error, or a count."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from luthier.errors import DataError


@dataclass(frozen=True)
class Fault:
    """Why a row cannot be used. `reason` is short and the same for all rows of its sort: it is what is counted."""

    reason: str
    what: str
    where: str
    mend: str

    def error(self) -> DataError:
        """Give it as an error; its mend offers to leave such rows out."""
        return DataError(self.what, where=self.where, mend=f"{self.mend}, or set bad_rows=drop")


def settle(fault: Fault, bad_rows: Literal["error", "drop"], dropped: Counter[str]) -> None:
    """Count a bad row by its reason, or raise it as DataError, as the user wants it."""
    if bad_rows == "error":
        raise fault.error()
    dropped[fault.reason] += 1
