"""An agent: a model that uses tools before it answers, and is asked like any other model."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from luthier.act.loop import STOPPED, Ended, Hands, Leave, Run
from luthier.act.spec import ActSpec
from luthier.act.tool import Tool
from luthier.act.toolbox import Toolbox
from luthier.act.ways import WAYS, choose_way
from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import ALWAYS_TAKEN, Answer, ChatModel, Closing, Piece, Prompt, Sampling, check_takes
from luthier.errors import DataError
from luthier.event import Chose, Progress, Tell, hush


def no_leave(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    """Where nobody can be asked, what changes something is not done."""
    return False


class Agent:
    """A model with tools. One task at a time: others wait for its lock."""

    def __init__(
        self,
        spec: ActSpec,
        model: ChatModel,
        toolbox: Toolbox,
        *,
        name: str,
        leave: Leave = no_leave,
        tell: Tell = hush,
    ) -> None:
        """Make one. Raises SpecError if the model can be asked for calls in no way."""
        self.way_name, why = choose_way(model, spec.calls) if toolbox.tools else ("json", "there is no tool")
        tell(Chose("calls", self.way_name, why))
        self._hands = Hands(spec, model, WAYS[self.way_name](), toolbox.tools, leave, tell)
        self._toolbox = toolbox
        self._name = name
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """Its own temperature and seed, and what the model uses for the rest."""
        spec = self._hands.spec
        return {**self._hands.model.defaults, "temperature": spec.temperature, "seed": spec.seed}

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds of a request's wishes."""
        return ALWAYS_TAKEN

    @property
    def tools(self) -> Mapping[str, Tool]:
        """Its tools by name."""
        return self._hands.tools

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Do many tasks, one after the other."""
        answers = []
        for prompt in prompts:
            *_, last = self.stream(prompt, sampling, lambda: False)
            assert last.answer is not None  # it is only missing where the task was cancelled
            answers.append(last.answer)
            tell(Progress("answers", len(answers), len(prompts), "answers"))
        return answers

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Do one task; its steps stand in the answer's details. A task that is cancelled ends without a last piece.

        Raises DataError for token ids, and for a request that brings tools of its own.
        """
        check_takes(self, sampling)
        return self._pieces(self.begin(prompt, sampling, cancelled))

    def begin(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Run:
        """Give a task that is not begun yet. Raises as `stream` does."""
        spec = self._hands.spec
        own = Sampling(
            max_tokens=sampling.max_tokens,
            temperature=spec.temperature if sampling.temperature is None else sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            stop=sampling.stop,
            seed=spec.seed if sampling.seed is None else sampling.seed,
        )
        talk = _talk(prompt)
        system = (Message("system", spec.system),) if spec.system else ()
        return Run(self._hands, (*system, *talk), own, cancelled)

    def _pieces(self, run: Run) -> Iterator[Piece]:
        with self._lock:
            going = run.go()
            while True:
                try:
                    text = next(going)
                except StopIteration as end:
                    ended: Ended = end.value
                    break
                if text:
                    yield Piece(text)
            if ended != "cancelled":
                yield Piece("", answer_of(run, ended))

    def close(self) -> None:
        """Close the tools and the model."""
        self._toolbox.close()
        if isinstance(self._hands.model, Closing):
            self._hands.model.close()


def answer_of(run: Run, ended: Ended) -> Answer:
    """Give a task's answer, with all tokens that were read and said for it, and its steps as details."""
    is_cut = bool(run.answers) and ended in ("answer", "steps") and run.answers[-1].finish == "length"
    return Answer(
        run.said,
        tuple(token for answer in run.answers for token in answer.token_ids),
        tuple(token for answer in run.answers for token in answer.prompt_ids),
        "length" if is_cut or ended in STOPPED else "stop",
        counted=(sum(a.tokens_read for a in run.answers), sum(a.tokens_said for a in run.answers)),
        details={"ended": ended, "plan": run.plan, "steps": run.steps, "quoted": [vars(q) for q in run.quoted]},
    )


def _talk(prompt: Prompt) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if isinstance(prompt, Conversation):
        if prompt.tools:
            raise DataError(
                "the request brings tools, and this model has tools of its own",
                where="key tools",
                mend="leave them out, or ask the model below it",
            )
        prompt = prompt.messages
    turns = tuple(turn for turn in prompt if isinstance(turn, Message))
    if len(turns) != len(prompt) or not turns or turns[-1].role != "user":
        raise DataError(
            "a task is a conversation that ends with the user's turn",
            where="the prompt",
            mend="send messages or a text",
        )
    return turns
