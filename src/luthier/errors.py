"""What can go wrong, said so that it can be mended.

Every error says what was wrong (with the value), where (file:line or key), and how to mend it.
Only a face (cli, web) catches them.
"""


class LuthierError(Exception):
    """The one parent. `str()` gives the three lines a person reads."""

    def __init__(self, what: str, *, where: str, mend: str) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.mend = mend

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return _again, (type(self), self.what, self.where, self.mend)  # it comes back from a process as it was

    def __str__(self) -> str:
        return f"{self.what}\n  where: {self.where}\n  mend:  {self.mend}"


def _again(kind: type[LuthierError], what: str, where: str, mend: str) -> LuthierError:
    return kind(what, where=where, mend=mend)


class SpecError(LuthierError):
    """A setting that is unknown, of the wrong type, or out of its range."""


class DataError(LuthierError):
    """A row, a file or a text that cannot be used as it is."""


class ModelError(LuthierError):
    """A model folder that is not whole, or that cannot do what is asked of it."""


class KindError(LuthierError):
    """An artifact of one kind where another is needed, or of another lineage."""


class StoreError(LuthierError):
    """The project folder: an artifact missing, damaged, in use, or still needed."""


class BusyError(LuthierError):
    """Another process is making the same thing right now."""


class RoomError(LuthierError):
    """Not enough memory or disk for what is asked."""


class FetchError(LuthierError):
    """A source that cannot be reached, refuses, or sends what it did not promise."""


class GateError(LuthierError):
    """The gate refused: the figures do not reach what the recipe demands."""


class ToolError(LuthierError):
    """A tool, an extra or a device that is not here."""


class ServeError(LuthierError):
    """The server cannot start or answer."""


class Stopped(LuthierError):  # noqa: N818 (no fault: the user asked for it)
    """The user asked a run to stop: what was done is saved, and the same command goes on."""
