"""The evaluation questions that training rows are held against: read from tasks' rows and from files of rows."""

from collections.abc import Iterator, Sequence

from luthier.errors import DataError
from luthier.event import Said, Tell, Warned, hush
from luthier.measure.words import words
from luthier.prepare.lint.asked import QUESTIONS, TURNS, filled_in, questions_of
from luthier.prepare.lint.exam import KEY, Exam, find_exam, opened_exam
from luthier.prepare.lint.passages import Passages, passages_of
from luthier.prepare.rows import Row, read_rows
from luthier.prepare.source import Source


def read_passages(against: Sequence[str], width: int, tell: Tell) -> Passages | None:
    """Read every question into passages of `width` words; None if there are no rows to hold anything against.

    A task that does not say where its rows are is told, and passed over. Raises DataError for a file that cannot be
    read or in which no row asks anything, SpecError for a bad task file.
    """
    questions: list[tuple[str, str]] = []
    for named in against:
        exam = find_exam(named)
        if not exam.rows:
            tell(Warned(*exam.why_no_rows))
            continue
        columns = exam.columns
        with opened_exam(exam) as sources:
            found = [pair for source in sources for pair in _asked(source, columns)]
        if not found:
            raise _nothing(exam)
        whose = f" (task {exam.named})" if exam.task is not None else ""
        tell(Said(f"lint.against: {len(found):,} questions in {exam.rows}{whose}"))
        questions += found
    return passages_of(questions, width) if questions else None


def why_nothing_was_read(against: Sequence[str]) -> str:
    """Say what D309 needs where `read_passages` gave None."""
    return f"a file of rows in {KEY} ({', '.join(against)}: none is named)" if against else KEY


def _asked(source: Source, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    for row in read_rows(source, "auto", hush):
        if isinstance(row, Row):
            texts = filled_in(row.data, columns) if columns else questions_of(row.data)
            yield from ((row.place, text) for text in texts if words(text))


def _nothing(exam: Exam) -> DataError:
    if exam.columns:
        return DataError(
            f"no row of {exam.rows!r} has a text in one of the columns {', '.join(exam.columns)}",
            where=f"key {KEY}, {exam.named}",
            mend="name the file of the task's own rows, or change its prompt",
        )
    return DataError(
        f"no row of {exam.rows!r} asks anything",
        where=f"key {KEY}",
        mend=f"give rows with one of the columns {', '.join((*QUESTIONS, *TURNS))}",
    )
