"""From learned characters to learned tokens."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from luthier.artifact.tokens import Bools, Tokens
from luthier.errors import DataError, ModelError
from luthier.model.encode import Encoder, Place
from luthier.model.spans import Span, Written

Ids = list[int]


class Masker:
    """Tokenises what was written and places its spans."""

    def __init__(self, encoder: Encoder, marks_answers: bool, stop_ids: frozenset[int], folder: Path) -> None:
        self._encoder = encoder
        self._marks_answers = marks_answers
        self._stop_ids = stop_ids
        self._where = str(folder)

    def tokens(self, rows: Sequence[Written]) -> list[Tokens | DataError]:
        """Give the ids of each row, which are learned, and how much they count; DataError where that cannot be told."""
        if self._marks_answers:
            return self._by_offsets(rows)
        texts = [row.text for row in rows]
        ids = self._encoder.ids(texts)
        cuts = [[cut for span in row.spans for cut in (span.begin, span.end)] for row in rows]
        found = self._encoder.places(list(zip(texts, ids, cuts, strict=True)))
        return [self._row(*parts) for parts in zip(rows, ids, found, strict=True)]

    def _row(self, row: Written, ids: Ids, places: Sequence[Place]) -> Tokens | DataError:
        """Learn what lies between two places, up to the last stop token there."""
        if None in places:
            return DataError(
                "an answer melts into what the template writes before or after it: they share a token",
                where=self._where,
                mend="take blanks and line breaks at the beginning and end of the answers away; where there are none, "
                "let the template end what stands before an answer with a line break or a control token, not a blank",
            )
        learned = []
        for number, span in enumerate(row.spans):
            begin, end = (place or 0 for place in places[2 * number : 2 * number + 2])
            stops = [place for place in range(end - 1, begin - 1, -1) if ids[place] in self._stop_ids]
            learned.append((begin, stops[0] + 1 if stops else end, span))
        if any(span.answer > span.begin for span in row.spans):
            edges = self._edges(row.text)
            learned = [(max(begin, edges.after(span.answer)), end, span) for begin, end, span in learned]
        return _tokens(ids, learned)

    def _edges(self, text: str) -> "_Edges":
        self._check_offsets()
        [(_, offsets)] = self._encoder.with_ends([text])
        return _Edges(offsets)

    def _by_offsets(self, rows: Sequence[Written]) -> list[Tokens | DataError]:
        self._check_offsets()
        made: list[Tokens | DataError] = []
        for row, (ids, offsets) in zip(rows, self._encoder.with_ends([row.text for row in rows]), strict=True):
            edges = _Edges(offsets)
            learned = [
                # a token shared with what stands before an answer belongs to it, one shared with its thinking does not
                (
                    edges.around(span.begin) if span.answer == span.begin else edges.after(span.answer),
                    edges.until(span.end),
                    span,
                )
                for span in row.spans
                if span.end > span.begin
            ]
            made.append(_tokens(ids, learned))
        return made

    def _check_offsets(self) -> None:
        if not self._encoder.has_offsets:
            raise ModelError(
                "the tokenizer does not say which characters a token stands for: the template's marks cannot be placed",
                where=self._where,
                mend="use a template without {% generation %} marks, and reasoning=learn",
            )


class _Edges:
    """Where tokens begin and end in a text, in characters; blanks that offsets leave out belong to the next token."""

    def __init__(self, offsets: Sequence[tuple[int, int]]) -> None:
        ends = np.maximum.accumulate(np.asarray([end for _, end in offsets] or [0]))
        before = np.concatenate([[0], ends[:-1]])
        self._begins = np.minimum(np.asarray([begin for begin, _ in offsets] or [0]), before)
        self._ends = ends

    def around(self, character: int) -> int:
        """Give the first token that goes beyond a character: the one around it, if one is."""
        return int((self._ends <= character).sum())

    def after(self, character: int) -> int:
        """Give the first token that begins at a character or after it."""
        return int((self._begins < character).sum())

    def until(self, character: int) -> int:
        """Give the token after the last one that begins before a character."""
        return self.after(character)


def _tokens(ids: Ids, learned: Sequence[tuple[int, int, Span]]) -> Tokens:
    mask: Bools = np.zeros(len(ids), np.bool_)
    weight = None
    for begin, end, span in learned:
        mask[begin:end] = True
        if span.weight != 1.0:
            weight = np.ones(len(ids), np.float32) if weight is None else weight
            weight[begin:end] = span.weight
    return Tokens(np.asarray(ids, np.int32), mask, weight)
