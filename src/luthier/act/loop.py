"""Plan, act, observe: until there is an answer, a bound is reached, or a tool fails twice.

What was read of foreign text decides nothing about which tools are called: those were named before, from the user's
words alone. What such text asks for may at most become an argument, and of a call that changes something only if it
stands in the user's own words, or a person gives leave.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from luthier.act.budget import Bound, Budget
from luthier.act.own_words import said_by_user
from luthier.act.quote import Quoted, mark_quotes
from luthier.act.schema import check_arguments, chosen_schema
from luthier.act.spec import ActSpec
from luthier.act.tool import CallError, Output, Tool
from luthier.act.ways import Decision, Done, Way, plan_prompt
from luthier.artifact.example import Conversation, Message, ToolCall
from luthier.engine.ports import CONTEXT, Answer, ChatModel, Prompt, Sampling
from luthier.errors import DataError
from luthier.event import Called, Tell

Ended = Literal["answer", "steps", "tokens", "seconds", "context", "tool", "calls", "cancelled"]
"""Why a task ended: with an answer; by its last step; by a budget or the model's context; a tool failed twice; the
model wrote no valid call twice; nobody waits any more."""
Leave = Callable[[Tool, Mapping[str, Any]], bool]
"""Asks a person whether a call that changes something may be made."""
LEAST_OBSERVATION = 200
"""Characters: an output is not cut below this to make a prompt fit."""
PLAN_TOKENS = 128
STOPPED: Mapping[Bound, str] = {
    "tokens": "I stopped before I had an answer: the budget of tokens is used up.",
    "seconds": "I stopped before I had an answer: the time is used up.",
    "context": "I stopped before I had an answer: what the tools said no longer fits the model's context.",
}
Pieces = Generator[str, None, Ended]
"""Pieces of the answer while it is said; why it ended."""


class Cancelled(Exception):  # noqa: N818  no fault, and it never leaves this room
    """Nobody waits for the answer any more."""


class Spent(Exception):  # noqa: N818  as above
    """A budget is used up."""

    def __init__(self, bound: Bound) -> None:
        super().__init__(bound)
        self.bound = bound


@dataclass(frozen=True)
class Hands:
    """What an agent works with."""

    spec: ActSpec
    model: ChatModel
    way: Way
    tools: Mapping[str, Tool]
    leave: Leave
    tell: Tell


@dataclass
class Run:
    """One task, from its words to its end."""

    hands: Hands
    talk: Sequence[Message]
    sampling: Sampling
    cancelled: Callable[[], bool]
    past: list[Done] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    """What was done, as plain JSON."""
    plan: list[str] = field(default_factory=list)
    quoted: list[Quoted] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    """What the model said, the last one being the answer."""
    said: str = ""
    budget: Budget = field(init=False)
    _offered: list[Tool] = field(init=False)
    _outputs: list[tuple[str, str]] = field(default_factory=list)
    """(tool, output) of what strangers wrote."""
    _failures: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.budget = Budget(self.hands.spec.budget)
        self._offered = list(self.hands.tools.values())
        self._most = self.hands.spec.budget.observation

    def go(self) -> Pieces:
        """Do the task. Gives the answer in pieces, and at last why it ended."""
        try:
            if self._offered and self.hands.spec.plan:
                self._make_plan()
            while self._offered and not self.budget.is_last:
                ended = self._step()
                if ended == "answer":
                    break
                if ended is not None:
                    yield self.said
                    return ended
            is_out = bool(self._offered) and self.budget.is_last
            yield from self._conclude()
        except Cancelled:
            return "cancelled"
        except (Spent, DataError) as error:
            bound = error.bound if isinstance(error, Spent) else self._full(error)
            self.said = STOPPED[bound]
            yield self.said
            return bound
        return "steps" if is_out else "answer"

    def _full(self, error: DataError) -> Bound:
        """Give the bound that what was done by now does not fit; what never fitted is the caller's fault."""
        if self.past and error.where.endswith(CONTEXT):
            return "context"
        raise error

    def _make_plan(self) -> None:
        """Let the model name the tools it needs, from the user's words alone; no other is offered from now on."""
        names = [tool.name for tool in self._offered]
        schema = chosen_schema(names) if "json_schema" in self.hands.model.takes else None
        answer = self._ask(lambda most: plan_prompt(self.talk, self._offered, most), schema, PLAN_TOKENS)
        try:
            chosen = set(json.loads(answer.text)["tools"])
        except (ValueError, TypeError, KeyError):
            chosen = {name for name in names if name in answer.text}
        self.plan = [name for name in names if name in chosen]
        self._offered = [tool for tool in self._offered if tool.name in chosen]

    def _step(self) -> Ended | None:
        """Let the model decide, and do what it decides. Gives 'answer' where it wants to answer."""
        may_answer = bool(self.past) or not self.hands.spec.plan
        decision = self.hands.way.decide(self._ask, self.talk, self.past, self._offered, may_answer)
        self.budget.steps += 1
        if decision.fault:
            return self._fault(decision)
        if not decision.calls:
            self.said = decision.text
            return "answer"
        for call in decision.calls:
            ended = self._act(call, decision)
            if ended is not None:
                return ended
        return None

    def _fault(self, decision: Decision) -> Ended | None:
        """Tell the model once that it wrote no valid call; the second time the user is told."""
        self.past.append(Done(None, f"That was no valid call: {decision.fault}", decision.written))
        self.steps.append({"written": decision.written, "fault": decision.fault})
        self._failures[""] += 1
        if self._failures[""] < 2:
            return None
        self.said = f"I could not call a tool: {decision.fault}"
        return "calls"

    def _act(self, call: ToolCall, decision: Decision) -> Ended | None:
        tool = next((tool for tool in self._offered if tool.name == call.name), None)
        if tool is None:
            known = ", ".join(tool.name for tool in self._offered)
            return self._fault(replace(decision, fault=f"there is no tool {call.name!r} for this; there are: {known}"))
        if any(
            done.call and (done.call.name, done.call.arguments) == (call.name, call.arguments) for done in self.past
        ):
            return "answer"  # it goes in a circle: what can be known is there
        begun = time.monotonic()
        problem: CallError | None = None
        output = Output("")
        try:
            check_arguments(tool, call.arguments)
            self._ask_leave(tool, call.arguments)
            output = tool.call(call.arguments, self.budget.seconds_left)
        except CallError as error:
            problem = error
        seconds = time.monotonic() - begun
        text = f"error: {problem.what} ({problem.mend})" if problem else output.text
        self._observe(tool, call, text, output, problem, seconds)
        return self._failed(tool, problem) if problem else None

    def _observe(
        self, tool: Tool, call: ToolCall, text: str, output: Output, problem: CallError | None, seconds: float
    ) -> None:
        self.past.append(Done(call, text))
        if tool.is_foreign:
            self._outputs.append((tool.name, text))
        outcome = "failed" if problem else "done"
        step = {"tool": tool.name, "arguments": dict(call.arguments), "outcome": outcome, "output": text}
        self.steps.append(step | ({"details": dict(output.details)} if output.details else {}))
        self.hands.tell(Called(tool.name, json.dumps(dict(call.arguments), ensure_ascii=False), outcome, text, seconds))

    def _failed(self, tool: Tool, problem: CallError) -> Ended | None:
        """A tool's failure is told to the model once; the second time to the user."""
        self._failures[tool.name] += 1
        if self._failures[tool.name] < 2:
            return None
        self.said = f"The tool {tool.name} failed twice, at last with: {problem.what} ({problem.where}; {problem.mend})"
        return "tool"

    def _ask_leave(self, tool: Tool, arguments: Mapping[str, Any]) -> None:
        """Raise CallError if a call that changes something is not allowed."""
        if not tool.is_dangerous:
            return
        is_allowed = tool.name in self.hands.spec.allow
        if is_allowed and not (self._outputs and not said_by_user(arguments, self.talk)):
            return
        if not self.hands.leave(tool, arguments):
            raise CallError(
                "the user did not give leave for this call", where=tool.name, mend="do without it, or say so"
            )

    def _ask(
        self, prompt_of: Callable[[int], Prompt], schema: dict[str, Any] | None, most: int | None = None
    ) -> Answer:
        """Ask the model; what does not fit its context is shortened, tool by tool output."""
        while True:
            try:
                for _ in self._say(prompt_of(self._most), schema, most):
                    pass
            except DataError as error:
                if not error.where.endswith(CONTEXT) or self._most <= LEAST_OBSERVATION or not self.past:
                    raise
                self._most //= 2
            else:
                return self.answers[-1]

    def _say(self, prompt: Prompt, schema: dict[str, Any] | None, most: int | None) -> Generator[str, None, None]:
        """Ask the model within what is left of the budget. Gives pieces; the answer is the last of `answers`."""
        if bound := self.budget.spent():
            raise Spent(bound)
        limit = min(most or self.hands.spec.budget.tokens_per_step, self.budget.tokens_left)
        wishes: dict[str, Any] = {"max_tokens": limit}
        if "max_seconds" in self.hands.model.takes:
            wishes["max_seconds"] = self.budget.seconds_left
        if schema is not None:
            wishes |= {"json_schema": json.dumps(schema, ensure_ascii=False), "stop": ()}
        answer: Answer | None = None

        def is_over() -> bool:
            return self.cancelled() or not self.budget.seconds_left

        for piece in self.hands.model.stream(prompt, replace(self.sampling, **wishes), is_over):
            answer = piece.answer or answer
            yield piece.text
        if answer is None:
            raise Cancelled if self.cancelled() else Spent("seconds")
        self.answers.append(answer)
        self.budget.take(answer, _letters(prompt))

    def _conclude(self) -> Pieces:
        """Give the answer: as it is said where nothing foreign was read, else whole, with what it quotes marked."""
        self.budget.steps += 1
        if self.said:
            self.said, self.quoted = mark_quotes(self.said, self._outputs)
            yield self.said
            return "answer"
        limit = self.sampling.max_tokens

        def prompt_of(most: int) -> Prompt:
            return self.hands.way.answer_prompt(self.talk, self.past, self._offered, most)

        if self._outputs:
            text = self._ask(prompt_of, None, limit).text
            self.said, self.quoted = mark_quotes(text, self._outputs)
            yield self.said
            return "answer"
        for text in self._say(prompt_of(self._most), None, limit):
            self.said += text
            yield text
        return "answer"


def _letters(prompt: Prompt) -> int:
    if isinstance(prompt, str):
        return len(prompt)
    turns = prompt.messages if isinstance(prompt, Conversation) else prompt
    return sum(len(turn.content) for turn in turns if isinstance(turn, Message))
