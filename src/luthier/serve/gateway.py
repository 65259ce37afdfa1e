"""One server's state, and how a request finds its engine: key, bounds, trial, ladder, line."""

import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from starlette.requests import Request

from luthier.engine.ports import ChatModel
from luthier.errors import SpecError
from luthier.event import Chose, Tell
from luthier.serve.answering import Answering, Said, is_engines_fault, unfinished
from luthier.serve.breaker import RetryBudget
from luthier.serve.capture import Capture
from luthier.serve.given import Given
from luthier.serve.keys import NOBODY, Key, KeyFile, find_key, fixed_keys
from luthier.serve.ladder import Ladder, Rung
from luthier.serve.metrics import Metrics
from luthier.serve.rates import Rates
from luthier.serve.refusal import RefusedError
from luthier.serve.request import Asked
from luthier.serve.shelf import Served, Shelf
from luthier.serve.spec import ServeSpec
from luthier.serve.trial import Trial, Tried, broken
from luthier.serve.wishes import Wished, wished

PATIENCE = ("x-luthier-patience", "x-stainless-read-timeout")
"""Headers that say how long a client waits for the next byte, in seconds: ours, and that of OpenAI's own clients."""


Admit = Callable[[Wished], Awaitable[None]]


@dataclass(frozen=True)
class Begun:
    """A request whose answer has begun: what said the first piece, and the rest as it comes."""

    answering: Answering
    said: AsyncGenerator[Said, None]
    first: Said
    wished: Wished
    served: Served
    rung: Rung | None
    trial: Tried | None = None
    """The trial it is part of."""

    @property
    def is_canary(self) -> bool:
        """Whether a trial's candidate answers."""
        return self.trial is not None and self.served.name == self.trial.candidate


class Gateway:
    """Everything one server knows."""

    def __init__(self, spec: ServeSpec, models: Sequence[ChatModel], tell: Tell, given: Given) -> None:
        self.spec = spec
        self.tell = tell
        self.given = given
        self.metrics = Metrics()
        self.ladders = {ladder.model: Ladder(ladder) for ladder in spec.ladders}
        apologies = [apology for ladder in self.ladders.values() for apology in ladder.apologies]
        self.shelf = Shelf(spec, [*models, *apologies], given.embedders)
        self.rates = Rates(spec.rates, tell)
        self.budget = RetryBudget(spec.breaker.retry_share)
        self.capture = Capture(spec.capture, given.redact)
        self._trials = [Trial(trial, given.redact) for trial in spec.trials]
        self.channels: dict[str, str | None] = self._followed(models)
        """Channel that is followed -> the release that is served for it now."""
        self.hidden = frozenset(apology.name for apology in apologies)
        self.is_draining = False
        self._fixed = fixed_keys(
            [key.get_secret_value() for key in spec.api_keys], [key.get_secret_value() for key in spec.admin_keys]
        )
        self._file = KeyFile(given.keys) if given.keys else None
        self._check_names()

    def _check_names(self) -> None:
        tried = [name for trial in self.spec.trials for name in (trial.model, trial.candidate)]
        named = [
            *((rung.name, f"ladders.{name}") for name, ladder in self.ladders.items() for rung in ladder.rungs),
            *((name, "trials") for name in tried if name not in self.channels),
        ]
        for name, key in named:
            if name not in self.shelf.served:
                raise SpecError(
                    f"{name!r} is not served",
                    where=f"key {key}",
                    mend=f"give it with --model, or name one of: {', '.join(self.names())}",
                )

    def _followed(self, models: Sequence[ChatModel]) -> dict[str, str | None]:
        """Give the channels that are followed: what everybody gets, and those that a trial names."""
        if "stable" not in self.given.channels:
            return {}
        tried = [trial.candidate for trial in self.spec.trials]
        others = [channel for channel in self.given.channels if channel in tried and channel != "stable"]
        return {"stable": models[0].name} | dict.fromkeys(others)

    def _trial_of(self, model: str) -> Tried | None:
        """Give the trial a request to a model is part of, if both of its models are served now."""
        asked = self.shelf.find(model).name
        for trial in self._trials:
            stable, candidate = (self.channels.get(name, name) for name in (trial.spec.model, trial.spec.candidate))
            if stable == asked and candidate is not None and candidate in self.shelf.served and candidate != stable:
                return Tried(trial, stable, candidate)
        return None

    def names(self) -> list[str]:
        """Give the names clients may ask for: the models', and those that only a ladder has."""
        own = [name for name in self.shelf.served if name not in self.hidden]
        return [*own, *(name for name in self.ladders if name not in own)]

    def keys(self) -> tuple[Key, ...]:
        """Give all keys of this server as of now."""
        return (*self._fixed, *(self._file.known() if self._file else ()))

    def key_of(self, request: Request) -> Key:
        """Give the key a request brings. Raises RefusedError (401) without a valid one, where keys are set."""
        keys = self.keys()
        if not keys:
            return NOBODY
        given = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
        found = find_key(keys, given)
        if found is None:
            raise RefusedError(
                "no valid API key was sent",
                where="the header Authorization",
                mend="send 'Authorization: Bearer KEY' with a key of this server",
                status=401,
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
        return found

    def check_scope(self, key: Key, model: str) -> None:
        """Raise RefusedError (403) if a key may not ask this model."""
        if not key.may_ask(model):
            raise RefusedError(
                f"this key may not ask {model!r}",
                where="request body, key model",
                mend=f"ask for one of: {', '.join(key.models)}",
                status=403,
                code="model_not_allowed",
            )

    async def begin(self, asked: Asked, key: Key, request: Request, arrived: float, admit: Admit) -> Begun:
        """Bring a request to an engine that answers it: gives what has said its first piece.

        `admit` is called once the request is counted, before it waits. Raises RefusedError, or what the first engine
        raised that was asked.
        """
        if self.is_draining:
            raise RefusedError(
                "the server takes no more requests", where="the server", mend="ask another one", status=503
            )
        self.budget.earn()
        rungs, tried = self._choose(asked.model)
        problem: Exception | None = None
        for number, rung in enumerate(rungs):
            try:
                begun = await self._try(asked, key, rung, request, arrived, admit)
                if tried is not None and problem is not None and is_engines_fault(problem):
                    tried = replace(tried, missed=broken(problem, time.monotonic() - arrived))
                return replace(begun, trial=tried)
            except Exception as error:
                problem = problem or error
                if number + 1 == len(rungs) or not _may_stand_in(error, problem):
                    raise problem from None
                if is_engines_fault(error) and not self.budget.spend():
                    raise problem from None
        raise problem or RefusedError("nothing answers", where="key model", mend="ask again", status=503)

    def _choose(self, model: str) -> tuple[Sequence[Rung], Tried | None]:
        ladder = self.ladders.get(model)
        if ladder is not None:
            self._look(ladder)
            return ladder.from_here(), None
        tried = self._trial_of(model)
        if tried is not None and random.random() < tried.trial.spec.canary:
            return (Rung(-1, tried.candidate), Rung(-1, model)), tried
        return (Rung(-1, model),), tried

    def _look(self, ladder: Ladder) -> None:
        served = self.shelf.find(ladder.rungs[ladder.at].name)
        wait = served.line.wait_seconds("", 0)
        share = 1.0 if served.breaker.state == "open" else served.breaker.error_share
        moved = ladder.look(wait, share)
        if moved:
            why = f"a turn would come in {wait:.1f} s, {share:.0%} of the last answers failed" if moved > 0 else "calm"
            name = ladder.rungs[ladder.at].name
            self.tell(Chose(f"rung of {ladder.spec.model}", name, why + (", set by hand" * ladder.is_by_hand)))

    async def _try(self, asked: Asked, key: Key, rung: Rung, request: Request, arrived: float, admit: Admit) -> Begun:
        served = self.shelf.find(rung.name)
        with served.held():  # while its prompt is counted, another may take its place
            want = await wished(asked, served, self.shelf)
            await admit(want)
            answering = Answering(
                served,
                want.wishes,
                key=key.id,
                key_kind=key.kind,
                patience_seconds=self._patience(request),
                stuck_seconds=self.spec.stuck_seconds,
                metrics=self.metrics,
                arrived=arrived,
            )
            said = answering.said()
            try:
                first = await anext(said, None)
            except BaseException:
                await said.aclose()
                raise
            if first is None:
                raise unfinished(served.name)
            ladder_rung = rung if rung.place >= 0 else None
            if ladder_rung is not None:
                self.metrics.rungs.labels(asked.model, str(rung.place)).inc()
            return Begun(answering, said, first, want, served, ladder_rung)

    def _patience(self, request: Request) -> float:
        """How long a request may wait for its turn: as long as the server promises, and as its client waits."""
        found = [self.spec.first_token_seconds]
        for name in PATIENCE:
            try:
                seconds = float(request.headers.get(name, "nan"))
            except ValueError:
                continue
            if seconds > 0:
                found.append(seconds)
        return min(found)

    def refresh(self) -> None:
        """Set the figures that are looked up rather than counted."""
        for name, served in self.shelf.served.items():
            self.metrics.running.labels(name).set(served.line.running)
            self.metrics.waiting.labels(name).set(served.line.waiting)
            self.metrics.waiting_tokens.labels(name).set(served.line.waiting_tokens)
            self.metrics.breaker_open.labels(name).set(float(served.breaker.state != "closed"))
        for name, ladder in self.ladders.items():
            self.metrics.rung.labels(name).set(ladder.rungs[ladder.at].place)

    def counted(self, model: str, key: Key, status: int, code: str = "") -> None:
        """Count a request that has its answer; a model nobody serves is counted as `unknown`."""
        name = model if model in self.shelf.served or model in self.ladders else "unknown"
        self.metrics.requests.labels(name, key.kind, str(status)).inc()
        if code:
            self.metrics.refused.labels(name, key.kind, code).inc()


def _may_stand_in(error: Exception, first: Exception) -> bool:
    """Whether another rung is asked after this error: after a failure or a full line, not after a wrong request.

    A rung that stands in may lack what the request wishes for: then the next is tried.
    """
    if error is not first:
        return True
    return is_engines_fault(error) or (isinstance(error, RefusedError) and error.status in (429, 503))
