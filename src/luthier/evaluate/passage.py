"""Perplexity of a running text, read in windows."""

import math

import numpy as np

from luthier.artifact.tokens import Tokens
from luthier.engine.ports import Scorer, Spelled
from luthier.evaluate.question import Question
from luthier.event import Tell


def passage_score(scorer: Scorer, speller: Spelled, row: Question, window: int, tell: Tell) -> tuple[float, int]:
    """Give the summed log-probability of a text's tokens, in nats, and how many they are.

    The text is cut into windows that follow one another; each sees the last token of the one before, so that every
    token but the text's first is expected once.
    """
    ids = speller.encode(str(row.prompt))
    size = min(window, speller.context)
    pieces = [ids[max(0, begin - 1) : begin + size - 1] for begin in range(1, len(ids), size - 1)]
    rows = [_tokens(piece) for piece in pieces]
    values = scorer.score(rows, tell) if rows else []
    return math.fsum(value for one in values for value in one.tolist()), sum(map(len, values))


def _tokens(ids: tuple[int, ...]) -> Tokens:
    mask = np.ones(len(ids), np.bool_)
    mask[0] = False
    return Tokens(np.asarray(ids, dtype=np.int32), mask)
