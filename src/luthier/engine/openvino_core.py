"""OpenVINO's runtime, one for the whole process.

Its CPU plugin gives the thread that opens it a stack for signals, and the stack of before back when it is closed. Two
of them closed in the order in which they were opened leave the thread with one that is freed: the next Ctrl-C is then
a segmentation fault (OpenVINO 2026.4). One that is never closed leaves none.
"""

from functools import cache

import openvino


@cache
def core() -> openvino.Core:
    """Give the runtime of this process."""
    return openvino.Core()


def has_bfloat16() -> bool:
    """Whether it computes in bfloat16 on this processor."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
