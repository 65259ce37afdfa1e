"""The child's own order of work, with a pipeline that counts."""

import io
import json
import queue
import threading
from collections.abc import Mapping
from typing import Any

import pytest

pytest.importorskip("openvino_genai", reason="the CPU engine is an extra: pip install 'luthier[cpu]'")

from luthier.engine import openvino_child


class Output:
    def __init__(self, finish: str) -> None:
        self.generated_ids = [7]
        self.finish_reason = type("Reason", (), {"name": finish})


class Handle:
    """A request that ends with its second token."""

    def __init__(self) -> None:
        self.steps = self.read_steps = 0

    def can_read(self) -> bool:
        return self.read_steps < self.steps

    def read(self) -> Mapping[int, Output]:
        self.read_steps += 1
        return {0: Output("NONE" if self.read_steps < 2 else "LENGTH")}

    def get_status(self) -> Any:
        return type("Status", (), {"name": "RUNNING"})


class Pipeline:
    def __init__(self, comes: threading.Event) -> None:
        self.handles: list[Handle] = []
        self.in_step: list[int] = []
        self._comes = comes

    def add_request(self, *_: Any) -> Handle:
        self.handles.append(Handle())
        self._comes.set()
        return self.handles[-1]

    def step(self) -> None:
        running = [handle for handle in self.handles if handle.steps < 2]
        self.in_step.append(len(running))
        for handle in running:
            handle.steps += 1


def order(number: int) -> dict[str, Any]:
    return {"ask": number, "ids": [1, 2], "config": {"max_new_tokens": 2}, "stop_ids": [0]}


def test_what_comes_at_once_shares_its_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openvino_child, "GAP_SECONDS", 0.5)
    monkeypatch.setattr(openvino_child, "GATHER_SECONDS", 5.0)
    orders: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    first_is_taken = threading.Event()
    pipeline = Pipeline(first_is_taken)

    def others() -> None:
        first_is_taken.wait()
        for number in range(1, 4):
            orders.put(order(number))
        while not pipeline.in_step:
            first_is_taken.wait(0.01)
        orders.put(openvino_child.END)

    thread = threading.Thread(target=others)
    thread.start()
    orders.put(order(0))
    out = io.StringIO()
    openvino_child._work(pipeline, {}, orders, out)
    thread.join()
    assert pipeline.in_step[0] == 4
    steps = json.loads(out.getvalue().splitlines()[0])["steps"]
    assert steps == [[number, [7], None] for number in range(4)]
