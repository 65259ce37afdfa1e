"""The process in which openvino-genai runs: lines of JSON in, lines of JSON out. It loads no torch.

The first line says what to open. Then `{"ask": number, "ids": [...], ...}`, to be answered, or with `places` and
`targets`, to be scored (the values come as the `ids` of steps), `{"all": [...]}`, several to be answered from the same
step on, and `{"cancel": number}`; out come
`{"ready": ...}`, `{"refused": [number, what, where, mend]}` and, after each step, `{"steps": [[number, ids, finish]]}`.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, TextIO

END = {"end": True}
GAP_SECONDS = 0.002
GATHER_SECONDS = 0.010
"""An idle engine waits until no more requests have come for a gap, but no longer than this: of many that come at once
all but the first would otherwise wait for a step that is made for the first alone."""
FINISHES = {"STOP": "stop", "LENGTH": "length"}


def main() -> None:
    """Open the pipeline, then make steps until the input ends."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what native code prints is no line of ours
    opening = json.loads(sys.stdin.readline())
    pipeline = _open(opening)
    orders: queue.SimpleQueue[Mapping[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    _say(out, {"ready": os.getpid()})
    _work(pipeline, opening, orders, out)


def _listen(orders: "queue.SimpleQueue[Mapping[str, Any]]") -> None:
    for line in sys.stdin:
        orders.put(json.loads(line))
    orders.put(END)
    threading.Timer(3.0, os._exit, [0]).start()  # whatever a step does, this process ends with its parent


def _open(opening: Mapping[str, Any]) -> Any:
    import openvino_genai

    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = opening["blocks"]
    scheduler.max_num_seqs = opening["rows"]
    scheduler.enable_prefix_caching = True  # one pipeline has one adapter, so no other's prefix is in it
    properties = dict(opening["properties"])
    if opening.get("adapter"):
        adapter = openvino_genai.Adapter(opening["adapter"])
        properties["adapters"] = openvino_genai.AdapterConfig(adapter, 1.0, _mode(opening["is_exact"]))
    return openvino_genai.ContinuousBatchingPipeline(opening["open"], scheduler, "CPU", properties)


def _mode(is_exact: bool) -> Any:
    """Fused into the weights an adapter costs nothing; into narrow ones it would be rounded, or cannot be fused at all.

    OpenVINO 2026.4 multiplies the factors in bfloat16 where the machine can, whatever precision is asked for.
    """
    import openvino_genai

    from luthier.engine.openvino_core import has_bfloat16

    is_fused = is_exact and not has_bfloat16()
    return openvino_genai.AdapterConfig.Mode.MODE_FUSE if is_fused else openvino_genai.AdapterConfig.Mode.MODE_STATIC


def _work(
    pipeline: Any, opening: Mapping[str, Any], orders: "queue.SimpleQueue[Mapping[str, Any]]", out: TextIO
) -> None:
    live: dict[int, Any] = {}
    graph = cache(partial(_graph, opening))
    gathers_until = 0.0
    while True:
        wait = None if not live else GAP_SECONDS if time.monotonic() < gathers_until else 0.0
        order = _next(orders, wait)
        if order is END:
            return
        if order is not None and "targets" in order:
            _score(graph(), order, out)
            continue
        if order is not None:
            together = order.get("all")
            if not live:
                gathers_until = 0.0 if together else time.monotonic() + GATHER_SECONDS
            for one in together or [order]:
                _take(pipeline, one, live, out)
            continue
        gathers_until = 0.0
        pipeline.step()
        steps = [step for number in list(live) if (step := _heard(number, live)) is not None]
        if steps:
            _say(out, {"steps": steps})


def _graph(opening: Mapping[str, Any]) -> Any:
    from luthier.engine.openvino_logits import Graph

    return Graph(Path(opening["open"]), opening["properties"])


def _score(graph: Any, order: Mapping[str, Any], out: TextIO) -> None:
    """Say each piece's values as they come: who waits hears that there is progress."""
    number = order["ask"]
    for values in graph.score(order["ids"], order["places"], order["targets"]):
        _say(out, {"steps": [[number, values, None]]})
    _say(out, {"steps": [[number, [], "stop"]]})


def _next(orders: "queue.SimpleQueue[Mapping[str, Any]]", seconds: float | None) -> Mapping[str, Any] | None:
    """Give the next order, or None if none comes within so many seconds; None waits for ever."""
    try:
        return orders.get(timeout=seconds)
    except queue.Empty:
        return None


def _take(pipeline: Any, order: Mapping[str, Any], live: dict[int, Any], out: TextIO) -> None:
    if "cancel" in order:
        handle = live.pop(order["cancel"], None)
        if handle is not None:
            handle.cancel()
            pipeline.step()  # what was cancelled leaves within this step
        return
    import numpy as np
    import openvino

    number = order["ask"]
    try:
        ids = openvino.Tensor(np.array([order["ids"]], dtype=np.int64))
        live[number] = pipeline.add_request(number, ids, _config(order))
    except Exception as error:  # native code raises RuntimeError for what it does not take
        why = str(error).strip().splitlines()[-1]
        _say(out, {"refused": [number, why, "the engine", "change the request as the message says"]})


def _config(order: Mapping[str, Any]) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    for name, value in order["config"].items():
        setattr(config, name, value)
    config.stop_token_ids = set(order["stop_ids"])
    if order["stop_ids"]:
        config.eos_token_id = order["stop_ids"][0]
    if order.get("schema"):
        constraint = openvino_genai.StructuredOutputConfig()
        constraint.json_schema = order["schema"]
        config.structured_output_config = constraint
    config.validate()
    return config


def _heard(number: int, live: dict[int, Any]) -> list[Any] | None:
    """Give what a request's last step added, and whether it ended by it."""
    handle = live[number]
    ids: list[int] = []
    finish = None
    while handle.can_read():
        for output in handle.read().values():
            ids.extend(output.generated_ids)
            finish = FINISHES.get(output.finish_reason.name, finish)
    if finish is None and handle.get_status().name != "RUNNING":
        finish = "length"  # it ran out of cache, or was ended by the engine
    if finish is not None:
        del live[number]
    return [number, ids, finish] if ids or finish else None


def _say(out: TextIO, line: Mapping[str, Any]) -> None:
    out.write(json.dumps(line) + "\n")
    out.flush()


if __name__ == "__main__":
    main()
