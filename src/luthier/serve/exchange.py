"""One request that asks for answers, from its bytes to its response."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response

from luthier.engine.ports import Answer, Piece
from luthier.event import Said as SaidEvent
from luthier.serve.answering import is_engines_fault, unfinished
from luthier.serve.body import read_limited
from luthier.serve.faults import report
from luthier.serve.gateway import Begun, Gateway
from luthier.serve.keys import NOBODY, Key
from luthier.serve.likely import Spell
from luthier.serve.refusal import status_of
from luthier.serve.request import Asked
from luthier.serve.response import Form, write
from luthier.serve.stream import EventStream
from luthier.serve.trial import broken, reply_of
from luthier.serve.wishes import Wished, echoes

Read = Callable[[bytes, int | None, int], Asked]


class Shape(Protocol):
    """How answers are written: each API has its own."""

    id: str

    def whole(self, answers: Sequence[Answer]) -> dict[str, Any]:
        """Give the whole response."""

    def opening(self, index: int, piece: Piece) -> Iterator[bytes]:
        """Give what stands before an answer's first piece."""

    def chunks(self, index: int, pieces: Sequence[Piece]) -> Iterator[bytes]:
        """Give the chunks of some pieces."""

    def closing(self, answers: Sequence[Answer]) -> Iterator[bytes]:
        """Give what ends a stream."""

    def broken(self, error: BaseException) -> Iterator[bytes]:
        """Give what ends a stream that broke."""


MakeShape = Callable[[Asked, str, Spell, Sequence[str]], Shape]


@dataclass
class Exchange:
    """One request while it is answered."""

    gateway: Gateway
    request: Request
    key: Key = NOBODY
    arrived: float = field(default_factory=time.monotonic)
    id: str = field(default_factory=lambda: f"req-{uuid.uuid4().hex[:24]}")
    asked: Asked | None = None
    headers: dict[str, str] = field(default_factory=dict)
    _held: ExitStack = field(default_factory=ExitStack)
    _is_admitted: bool = False

    async def read(self, read: Read) -> None:
        """Read the request. Raises RefusedError for a key, a body or a wish that is not let in."""
        gateway = self.gateway
        self.key = gateway.key_of(self.request)
        body = await read_limited(self.request, gateway.spec.body_bytes, gateway.spec.body_seconds)
        self.asked = read(body, gateway.spec.max_tokens, gateway.spec.messages)
        gateway.check_scope(self.key, self.asked.model)

    async def respond(self, shape: MakeShape = Form) -> Any:
        """Give the response; whatever is raised is for the one place where errors become responses."""
        asked = self.asked
        assert asked is not None, "read() comes first"
        try:
            self._held.enter_context(self.gateway.rates.one_more(self.key))
            begun = await self.gateway.begin(asked, self.key, self.request, self.arrived, self._admit)
            self._tell_headers(begun, asked)
            form = shape(asked, self._fingerprint(begun), self._spell(begun), self._echoes(begun, asked))
            if asked.is_stream:
                return EventStream(self._stream(begun, asked, form), self.headers, begun.answering.stop)
            return await self._whole(begun, asked, form)
        except BaseException:
            self._held.close()
            raise

    async def _admit(self, want: Wished) -> None:
        """Count the request against its key's bounds, once, however many engines are asked."""
        if not self._is_admitted:
            self._is_admitted = True
            self.headers |= await self.gateway.rates.take(self.key, want.tokens)

    def _tell_headers(self, begun: Begun, asked: Asked) -> None:
        self.headers["x-luthier-model"] = _ascii(begun.served.model.name)
        self.headers["openai-processing-ms"] = str(round((time.monotonic() - self.arrived) * 1000))
        if begun.rung is not None:
            self.headers["x-luthier-rung"] = _ascii(f"{begun.rung.place} {begun.rung.name}")
        if begun.is_canary:
            self.headers["x-luthier-canary"] = "yes"
        if asked.ignored:
            self.headers["x-luthier-ignored"] = _ascii(", ".join(asked.ignored))[:500]

    async def _whole(self, begun: Begun, asked: Asked, form: Shape) -> Response:
        answers: dict[int, Answer] = {}
        try:
            async with aclosing(begun.said):
                async for index, pieces in _chain(begun):
                    for piece in pieces:
                        if piece.answer is not None:
                            answers[index] = piece.answer
            whole = self._checked(answers, begun)
        except Exception as error:
            self._fail(begun, asked, form, error)
            raise
        text = write(form.whole(whole))
        self._end(begun, asked, form, whole)
        return Response(text.encode("utf-8", "replace"), 200, self.headers, "application/json")

    async def _stream(self, begun: Begun, asked: Asked, form: Shape) -> AsyncGenerator[bytes, None]:
        answers: dict[int, Answer] = {}
        opened: set[int] = set()
        with self._held:
            async with aclosing(begun.said):
                try:
                    async for index, pieces in _chain(begun):
                        parts = [] if index in opened else list(form.opening(index, pieces[0]))
                        opened.add(index)
                        parts += form.chunks(index, pieces)
                        answers.update((index, piece.answer) for piece in pieces if piece.answer is not None)
                        if parts:
                            yield b"".join(parts)
                    whole = self._checked(answers, begun)
                    yield b"".join(form.closing(whole))
                    self._end(begun, asked, form, whole)
                except Exception as error:  # the status is sent already: the error goes as an event
                    if begun.answering.is_stopped:
                        return  # the client has left
                    report(error, self.gateway.tell)
                    self._fail(begun, asked, form, error)
                    self.gateway.counted(asked.model, self.key, status_of(error))
                    yield b"".join(form.broken(error))

    def _checked(self, answers: Mapping[int, Answer], begun: Begun) -> list[Answer]:
        if len(answers) < len(begun.wished.wishes):
            raise unfinished(begun.served.name)
        return [answers[number] for number in sorted(answers)]

    def _end(self, begun: Begun, asked: Asked, form: Shape, answers: list[Answer]) -> None:
        """What is done once an answer is whole: counting, keeping, trying."""
        self._held.close()
        gateway = self.gateway
        gateway.counted(asked.model, self.key, 200)
        gateway.capture.keep(form.id, asked, answers, self.request.headers, self.key.id)
        if begun.trial is not None and len(answers) == 1:
            reply = reply_of(answers[0], time.monotonic() - self.arrived)
            if begun.is_canary or begun.trial.trial.spec.canary:
                begun.trial.answered(form.id, asked, reply, by_candidate=begun.is_canary)
            if not begun.is_canary and begun.trial.trial.is_mirrored():
                begun.trial.mirror(form.id, asked, reply, self._ask)
        if gateway.spec.log != "faults":
            gateway.tell(SaidEvent(self._line(begun, asked, answers)))

    def _fail(self, begun: Begun, asked: Asked, form: Shape, error: Exception) -> None:
        """An answer of a trial that broke after its first word is a figure of the trial."""
        if begun.trial is not None and begun.trial.trial.spec.canary and is_engines_fault(error):
            reply = broken(error, time.monotonic() - self.arrived)
            begun.trial.answered(form.id, asked, reply, by_candidate=begun.is_canary)

    def _ask(self, asked: Asked) -> "asyncio.Future[list[Answer]]":
        return asyncio.ensure_future(answers_of_candidate(self.gateway, asked, self.request))

    def _line(self, begun: Begun, asked: Asked, answers: Sequence[Answer]) -> str:
        counts = f"{sum(a.tokens_read for a in answers)} + {sum(a.tokens_said for a in answers)} tokens"
        seconds = time.monotonic() - self.arrived
        line = f"{self.id} {self.key.id} {begun.served.name}: {counts}, {seconds:.3f} s"
        return f"{line} {asked.prompts!r} -> {[a.text for a in answers]!r}" if self._logs_prompts else line

    @property
    def _logs_prompts(self) -> bool:
        return self.gateway.spec.log == "prompts"

    def _fingerprint(self, begun: Begun) -> str:
        return f"fp_{begun.served.model.name}"

    def _spell(self, begun: Begun) -> Spell:
        words = begun.served.words
        return words.spell if words is not None else lambda ids: [str(token_id).encode() for token_id in ids]

    def _echoes(self, begun: Begun, asked: Asked) -> list[str]:
        return echoes(asked, begun.wished.prompts, begun.served)


async def answers_of_candidate(gateway: Gateway, asked: Asked, request: Request) -> list[Answer]:
    """Ask a trial's candidate what was asked of the model it is tried beside."""
    begun = await gateway.begin(asked, NOBODY, request, time.monotonic(), _admit_all)
    async with aclosing(begun.said):
        return [piece.answer async for _, pieces in _chain(begun) for piece in pieces if piece.answer is not None]


async def _admit_all(want: Wished) -> None:
    """A request of our own counts against no key."""


async def _chain(begun: Begun) -> AsyncGenerator[tuple[int, list[Piece]], None]:
    yield begun.first
    async for item in begun.said:
        yield item


def _ascii(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode().replace("\n", " ").replace("\r", " ")
