"""What an agent did, on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.act.agent import Agent, answer_of
from luthier.act.spec import ActSpec
from luthier.artifact import atomic
from luthier.artifact.example import plain
from luthier.engine.ports import Sampling


def describe(agent: Agent, out: Path) -> Mapping[str, Any]:
    """Write what an agent is: how it calls, and its tools as its model sees them."""
    tools = _shown(agent)
    atomic.write_json(out / "agent.json", {"calls": agent.way_name, "tools": tools})
    return {"tools": [tool["name"] for tool in tools], "calls": agent.way_name}


def perform(agent: Agent, spec: ActSpec, out: Path) -> Mapping[str, Any]:
    """Do the task, and write all that was said and done. Gives the figures of the card."""
    run = agent.begin(spec.task, Sampling(), lambda: False)
    going = run.go()
    try:
        while True:
            next(going)
    except StopIteration as end:
        ended = end.value
    answer = answer_of(run, ended)
    record = {
        "task": spec.task,
        "answer": run.said,
        **answer.details,
        "calls": agent.way_name,
        "tools": _shown(agent),
        "talk": plain(run.talk),
        "said": [said.text for said in run.answers],
    }
    atomic.write_json(out / "transcript.json", record)
    atomic.write_text(out / "answer.txt", run.said + "\n")
    called = [step["tool"] for step in run.steps if "tool" in step]
    return {
        "ended": ended,
        "steps": run.budget.steps,
        "tokens": run.budget.tokens,
        "seconds": round(run.budget.seconds, 1),
        "called": {name: called.count(name) for name in dict.fromkeys(called)},
        "quoted": len(run.quoted),
    }


def _shown(agent: Agent) -> list[dict[str, Any]]:
    return [
        {
            "name": tool.name,
            "about": tool.about,
            "parameters": dict(tool.parameters),
            "origin": tool.origin,
            "asks_leave": tool.is_dangerous,
        }
        for tool in agent.tools.values()
    ]
