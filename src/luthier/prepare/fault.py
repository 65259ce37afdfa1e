"""What is wrong with one row: an error, or a count."""

from collections import Counter
from dataclasses import dataclass
from typing import Literal

from luthier.errors import DataError, LuthierError


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


class BadRow(LuthierError):  # noqa: N818 (caught and counted, never shown as it is)
    """A row that cannot be used, said by one who does not know where it stands; `Form.read` makes a Fault of it."""

    def __init__(self, reason: str, what: str, mend: str) -> None:
        super().__init__(what, where="a row", mend=mend)
        self.reason = reason

    def at(self, place: str) -> Fault:
        """Give the Fault of the row at a place."""
        return Fault(self.reason, self.what, place, self.mend)


def settle(fault: Fault, bad_rows: Literal["error", "drop"], dropped: Counter[str]) -> None:
    """Count a bad row by its reason, or raise it as DataError, as the user wants it."""
    if bad_rows == "error":
        raise fault.error()
    dropped[fault.reason] += 1
