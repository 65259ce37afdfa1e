"""Prove answers that are code: run their tests in the sandbox."""

import json
import os
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np

from luthier.evaluate.find_out import Find, Found, Samples
from luthier.evaluate.question import Proof, Question
from luthier.evaluate.sandbox import Caps, check_sandbox, command
from luthier.event import Progress, Tell, Warned
from luthier.measure.task import TaskSpec

INSIDE = Path(__file__).with_name("sandboxed.py")
PATIENCE = 6
"""Wall-clock seconds for each second of processor time, on a machine that is shared: speed must not bear on scores."""
SLACK_SECONDS = 10.0
"""For beginning and ending, beside that."""
_NUMBERS = count(os.getpid())


def find_passed(unsafe: bool, tell: Tell) -> Find:
    """Give what finds out how many answers of each row pass their tests: shape (N, 2), answers and passed ones.

    Raises ToolError where code cannot be shut in and nobody wrote `unsafe`.
    """

    def find(task: TaskSpec, rows: Sequence[Question], samples: Samples) -> Found:
        if unsafe:
            tell(Warned("models' code is run unguarded on this machine", "leave out unsafe=true"))
        else:
            check_sandbox()
        code = task.code
        assert code is not None  # the task file was checked: tests need code
        caps = Caps(code.seconds, code.memory_mb, code.processes)
        jobs = [(row.proof, text) for row, texts in zip(rows, samples, strict=True) for text in texts if row.proof]
        said: list[str] = []
        with ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
            for problem in pool.map(lambda job: prove(job[1], job[0], caps, unsafe=unsafe), jobs):
                said.append(problem)
                tell(Progress("prove", len(said), len(jobs), "answers"))
        found = iter(said)
        by_row = [[next(found) for _ in texts] for texts in samples]
        values = [[len(problems), problems.count("")] for problems in by_row]
        notes = [next((problem for problem in problems if problem), "") for problems in by_row]
        return Found(np.asarray(values, dtype=np.float64).reshape(-1, 2), notes)

    return find


def prove(answer: str, proof: Proof, caps: Caps, *, unsafe: bool = False) -> str:
    """Give '' if an answer passes its tests, else why it does not."""
    setup = {"begin": proof.begin, "code": proof.begin + answer, "entry": proof.entry, "test": proof.test}
    serve_hears, check_says = os.pipe()
    check_hears, serve_says = os.pipe()
    numbers = next(_NUMBERS), next(_NUMBERS)
    walls = [command(INSIDE, caps, number, unsafe=unsafe) for number in numbers]
    try:
        serving = subprocess.Popen(
            [*walls[0], "serve"], stdin=serve_hears, stdout=serve_says, stderr=subprocess.DEVNULL, cwd="/"
        )
        checking = subprocess.Popen(
            [*walls[1], "check", str(check_hears), str(check_says)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            pass_fds=(check_hears, check_says), text=True, cwd="/",
        )  # fmt: skip
    finally:
        for pipe in (serve_hears, check_says, check_hears, serve_says):
            os.close(pipe)
    try:
        _, problem = checking.communicate(json.dumps(setup) + "\n", timeout=caps.seconds * PATIENCE + SLACK_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it took longer than {caps.seconds:g} s"
    finally:
        for process in (serving, checking):
            process.kill()
            process.wait()
        if checking.stderr:
            checking.stderr.close()
    if checking.returncode == 0:
        return ""
    return problem.strip() or f"the tests ended with status {checking.returncode}"
