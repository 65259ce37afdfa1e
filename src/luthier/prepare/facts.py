"""What is known of every row while millions pass: one small record each, never the row."""

from enum import IntFlag

import numpy as np
import numpy.typing as npt

FACT = np.dtype(
    [
        ("id", "<u8"),  # the first 8 bytes of the content's SHA-256
        ("key", "<u8"),  # a hash of what decides the split: the questions, or the group
        ("place", "<u8"),  # a hash of seed and content: the stable order in which limits take rows
        ("group", "<u8"),  # a hash of the group, 0 without one
        ("set", "<u2"),  # which of the sets
        ("tag", "<u4"),  # which tag, in the order in which tags were first met
        ("label", "<i4"),  # which class, -1 without one
        ("source", "<u4"),  # which file
        ("line", "<u4"),  # and where in it: `file:line`
        ("tokens", "<i4"),  # as rendered; of a preference pair, of both answers together
        ("rejected", "<i4"),  # how many of them are those of the worse answer
        ("supervised", "<i4"),
        ("characters", "<i4"),  # of all texts together
        ("answer", "<i4"),  # characters of what is learned
        ("weight", "<f4"),  # how much the row counts
        ("flags", "<u4"),
        ("asked", "<u8"),  # a hash of all that comes before the last answer: system, tools, questions
        ("opening", "<u4"),  # a hash of how the question begins: how diverse the rows are
        ("reply", "<u4"),  # a hash of the answer: how many different ones there are
        ("batch", "<u4"),  # which batch of work holds the rendered row
        ("number", "<u4"),  # and which row of that batch it is
    ]
)
Facts = npt.NDArray[np.void]
"""Records of FACT, shape (rows,), in the order of reading."""


class Flag(IntFlag):
    """What is known of a row by looking at it alone, and, set later, by looking at all."""

    HELD = 1  # held out from training though its group is not
    TRUNCATED = 2  # cut to length.max_tokens
    TOO_LONG = 4  # longer than that, and not to be cut
    ENDLESS = 8  # its last learned token is no stop token
    UNSUPERVISED = 16  # nothing is learned from it
    ECHO = 32  # the answer says what the question says
    CONTAMINATED = 64  # shares a passage with an evaluation task
    DUPLICATE = 128  # another row has the same content
    NEAR_DUPLICATE = 256  # another row is nearly the same
    TEMPLATE_TEXT = 1024  # a marker of some chat template stands in a text
    LANGUAGES_DIFFER = 2048  # the answer is in another script than the question
    CJK = 4096  # what is learned is mostly Chinese, Japanese or Korean
    DAMAGED = 8192  # characters that replace lost ones
    WEIGHTED = 16384  # some of its tokens count otherwise than 1
