"""One runtime for a process: what several do to signals."""

import subprocess
import sys

import pytest

pytest.importorskip("openvino", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

PROGRAM = """
import gc, os, signal, time
import numpy as np
import openvino
from openvino import opset13 as op
from luthier.engine.openvino_core import core

given = op.parameter([2], np.float32)
graph = openvino.Model([op.add(given, np.ones(2, np.float32))], [given], "one")
first, second = core().compile_model(graph, "CPU"), core().compile_model(graph, "CPU")
del first
gc.collect()
del second
gc.collect()
filler = [bytes(65536) for _ in range(64)]
signal.signal(signal.SIGINT, lambda *_: print("asked to stop"))
os.kill(os.getpid(), signal.SIGINT)
time.sleep(0.1)
"""


def test_ctrl_c_is_heard_after_two_graphs_came_and_went() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "asked to stop\n"), done.stderr
