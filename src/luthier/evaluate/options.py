"""Multiple choice: how likely each option goes on from the prompt."""

import math
from collections.abc import Sequence

import numpy as np

from luthier.artifact.tokens import Tokens
from luthier.engine.ports import Scorer, Spelled
from luthier.errors import DataError
from luthier.evaluate.question import Question
from luthier.event import Tell


def option_scores(scorer: Scorer, speller: Spelled, rows: Sequence[Question], tell: Tell) -> list[list[float]]:
    """Give, for each row, the summed log-probability of each of its options, in nats.

    A prompt and an option are spelled together, and what the prompt alone has of it belongs to the prompt, as lm-eval
    does it. Too long a prompt loses its beginning.
    """
    tokens = [_tokens(speller, row, option) for row in rows for option in row.options]
    found = scorer.score(tokens, tell)
    sums = iter(math.fsum(values.tolist()) for values in found)
    return [[next(sums) for _ in row.options] for row in rows]


def _tokens(speller: Spelled, row: Question, option: str) -> Tokens:
    prompt = str(row.prompt)
    stem = prompt.rstrip()  # white space before an option is spelled with the option
    context, whole = speller.encode(stem), speller.encode(prompt + option)
    if len(whole) <= len(context):
        raise DataError(
            f"the option {option!r} adds no token to the prompt",
            where=row.source,
            mend="let options begin where the prompt ends, white space included",
        )
    ids = np.asarray(whole[-speller.context :], dtype=np.int32)
    mask = np.zeros(len(ids), np.bool_)
    mask[len(context) - len(whole) :] = True
    return Tokens(ids, mask)
