"""The models that are served, by name: each with its line, its breaker and its threads; put and taken while serving."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

from luthier.engine.ports import ChatModel, Closing, Embedder, Spelled, Watched, streams_at_once, words_of
from luthier.serve.breaker import Breaker
from luthier.serve.line import Line
from luthier.serve.refusal import RefusedError
from luthier.serve.spec import ServeSpec


@dataclass(eq=False)
class Served:
    """One version of a model under one name. Requests keep the version they began with."""

    name: str
    model: ChatModel
    line: Line
    breaker: Breaker
    pool: ThreadPoolExecutor
    created: int = field(default_factory=lambda: int(time.time()))
    last_progress: float = field(default_factory=time.monotonic)
    """When its engine last said something (or was taken in)."""
    using: int = 0
    """Requests that hold it."""
    closing: Future[None] | None = None
    """The end of its model, once that has begun."""
    is_out: bool = False
    """Whether it was taken from the shelf: it is closed after its last request."""

    @property
    def words(self) -> Spelled | None:
        """What knows its tokens, where anything here does."""
        return words_of(self.model)

    def ailing(self, stuck_seconds: float) -> str:
        """Give why it cannot answer just now, '' while it can."""
        if isinstance(self.model, Watched) and (why := self.model.ailing()):
            return why
        silent = time.monotonic() - self.last_progress
        if self.line.running and silent > stuck_seconds:
            return f"its engine has answers to give and has said nothing for {silent:.0f} s"
        return "its engine failed again and again, and is left alone" if self.breaker.state == "open" else ""

    def hold(self) -> None:
        """Keep it from being closed."""
        self.using += 1

    def let_go(self) -> None:
        """Give it back; the last one closes what was taken from the shelf."""
        self.using -= 1
        self.close_if_unused()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold it as long as this context is open."""
        self.hold()
        try:
            yield
        finally:
            self.let_go()

    def close_if_unused(self) -> None:
        """Close it, if it is out and nobody uses it."""
        if self.is_out and self.using <= 0:
            self.end()

    def end(self) -> None:
        """Let its model give back what it holds, in a thread, and let its threads go."""
        if isinstance(self.model, Closing) and self.closing is None:
            self.closing = self.pool.submit(self.model.close)
        self.pool.shutdown(wait=False)


class Shelf:
    """The models by name, and the embedders."""

    def __init__(self, spec: ServeSpec, models: Sequence[ChatModel], embedders: Sequence[Embedder] = ()) -> None:
        self._spec = spec
        self.served: dict[str, Served] = {}
        self.aliases: dict[str, str] = {}
        """Names that releases had before others took their places: who asks for one is answered by its successor."""
        self._taken: list[Served] = []
        """Those that were taken and may not have ended yet."""
        self.embedders = {embedder.name: embedder for embedder in embedders}
        self.reading = ThreadPoolExecutor(1, "reading")
        """Tokenizers are asked in one thread: they lend themselves to one caller at a time."""
        self.embedding = ThreadPoolExecutor(1, "embedding")
        for model in models:
            self.put(model.name, model)

    def put(self, name: str, model: ChatModel) -> Served:
        """Serve a model under a name; one that had it goes on with the requests it has, then is closed."""
        at_once = streams_at_once(model)
        line = Line(name, at_once=at_once, waiting=self._spec.waiting, waiting_tokens=self._spec.waiting_tokens)
        pool = ThreadPoolExecutor(at_once + 1, f"answering-{name}")  # one more: for the probe
        fresh = Served(name, model, line, Breaker(self._spec.breaker), pool)
        before = self.served.get(name)
        self.served[name] = fresh
        if before is not None:
            self._out(before)
        return fresh

    def follow(self, before: str | None, name: str) -> None:
        """Let what is served under a name answer for the release before, too: clients may go on asking for that."""
        self.aliases.pop(name, None)
        if before is not None:
            self.aliases = {old: name if new == before else new for old, new in self.aliases.items()} | {before: name}

    def take(self, name: str) -> Served:
        """Serve a name no longer. Raises RefusedError (404) if nothing has it."""
        found = self.find(name)
        del self.served[found.name]
        self._out(found)
        return found

    def _out(self, served: Served) -> None:
        served.is_out = True
        served.close_if_unused()
        self._taken = [one for one in self._taken if one.closing is None or not one.closing.done()] + [served]

    def find(self, name: str) -> Served:
        """Give what is served under a name. Raises RefusedError (404) that names the others."""
        found = self.served.get(name) or self.served.get(self.aliases.get(name, ""))
        if found is None:
            raise _unknown(name, self.served)
        return found

    def embedder(self, name: str) -> Embedder:
        """Give an embedder. Raises RefusedError (404; 400 for a model that answers and makes no vectors)."""
        if name in self.served:
            raise RefusedError(
                f"the model {name!r} answers, it makes no vectors",
                where="request body, key model",
                mend=f"ask for one of: {', '.join(self.embedders) or '(this server has no embedder)'}",
                code="model_not_supported",
            )
        if name not in self.embedders:
            raise _unknown(name, self.embedders)
        return self.embedders[name]

    async def drained(self, seconds: float) -> bool:
        """Wait until no answer runs or waits; false if that takes longer."""
        end = time.monotonic() + seconds
        while any(served.line.running or served.line.waiting for served in self.served.values()):
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.05)
        return True

    async def close(self) -> None:
        """Let the threads go, and wait until every model has given back what it holds: some have no other owner."""
        self.reading.shutdown(wait=False)
        self.embedding.shutdown(wait=False)
        every = [*self.served.values(), *self._taken]
        for served in every:
            served.end()
        closing = [asyncio.wrap_future(served.closing) for served in every if served.closing is not None]
        await asyncio.gather(*closing, return_exceptions=True)


def _unknown(name: str, known: Sequence[str] | dict[str, Served] | dict[str, Embedder]) -> RefusedError:
    return RefusedError(
        f"there is no model {name!r}",
        where="request body, key model",
        mend=f"ask for one of: {', '.join(known) or '(none is served for this)'}",
        status=404,
        code="model_not_found",
    )
