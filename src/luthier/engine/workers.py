"""One model in several processes: requests go to the least busy one, and on at another where theirs is lost."""

import secrets
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import Any

from luthier.engine.ports import Answer, Piece, Prompt, Sampling, Spelled, check_takes
from luthier.engine.supervised import Box, Supervised
from luthier.engine.wire import PIECE, PROMPT, SAMPLING, plain
from luthier.engine.worker_words import WorkerWords
from luthier.errors import ServeError
from luthier.event import Progress, Tell, hush

MODULE = "luthier.recipe.worker"
SILENT_SECONDS = 2.0
"""A worker beats twice a second; one that is silent for so long gets no more requests, and loses those it has."""
STUCK_SECONDS = 10.0
"""One that is silent for so long is killed, and another started in its place."""
LOOK_SECONDS = 0.05


class WorkersModel:
    """A model that answers by worker processes."""

    def __init__(self, workers: Sequence[Supervised], *, name: str) -> None:
        self._workers = list(workers)
        self._name = name
        self._choosing = threading.Lock()
        self._words: WorkerWords | None = None

    def open(self) -> None:
        """Start every worker and wait until each has registered. Raises ServeError, all ended, if one cannot start."""
        try:
            with ThreadPoolExecutor(len(self._workers)) as pool:
                list(pool.map(Supervised.start, self._workers))
        except ServeError:
            self.close()
            raise

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the workers' model uses where a request says nothing."""
        return dict(self._told["defaults"])

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds of a request's wishes."""
        return frozenset(self._told["takes"])

    @property
    def at_once(self) -> int:
        """How many streams all workers take at the same time."""
        return int(self._told["at_once"]) * len(self._workers)

    @property
    def words(self) -> Spelled | None:
        """What knows the model's tokens: the workers, where their model does."""
        told = self._told
        if self._words is None and "context" in told:
            self._words = WorkerWords(self._once, context=int(told["context"]), vocabulary=int(told["vocabulary"]))
        return self._words

    @property
    def workers(self) -> Sequence[Supervised]:
        """The processes."""
        return tuple(self._workers)

    def ailing(self) -> str:
        """Give why no worker can answer just now, '' while one can."""
        reasons = [worker.ailing() or _silence(worker) for worker in self._workers]
        return "" if not all(reasons) else f"no worker can answer: {reasons[0]}"

    def close(self) -> None:
        """End every worker."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            list(pool.map(Supervised.close, self._workers))

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts, as many at a time as the workers take; answers come in the prompts' order."""
        check_takes(self, sampling)
        answers: list[Answer] = []
        with ThreadPoolExecutor(self.at_once) as pool:
            for answer in pool.map(lambda prompt: self._whole(prompt, sampling), prompts):
                answers.append(answer)
                tell(Progress("answers", len(answers), len(prompts), "answers"))
        return answers

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece. Where its worker is lost, another says the same from where it broke off.

        So that it can, an answer without a seed is given one. Raises ServeError where the other says it otherwise.
        """
        check_takes(self, sampling)
        seeded = sampling if sampling.seed is not None else replace(sampling, seed=secrets.randbits(31))
        order = {"prompt": plain(PROMPT, prompt), "sampling": plain(SAMPLING, seeded)}
        return self._pieces(order, cancelled)

    @property
    def _told(self) -> Mapping[str, Any]:
        return next((worker.told for worker in self._workers if worker.told), {})

    def _whole(self, prompt: Prompt, sampling: Sampling) -> Answer:
        *_, last = self.stream(prompt, sampling, lambda: False)
        assert last.answer is not None
        return last.answer

    def _pieces(self, order: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[Piece]:
        tried: list[int] = []
        said: list[Piece] = []
        while not cancelled():
            worker = self._least_busy(tried)
            tried.append(id(worker))
            try:
                for place, piece in enumerate(map(PIECE.validate_python, self._ask(worker, order, cancelled))):
                    if place < len(said):
                        _check_same(said[place], piece, worker)
                        continue
                    said.append(piece)
                    yield piece
                return
            except ServeError:
                if len(tried) > len(self._workers):
                    raise

    def _once(self, order: Mapping[str, Any]) -> Any:
        """Give what one worker answers, or another where it is lost."""
        tried: list[int] = []
        while True:
            worker = self._least_busy(tried)
            tried.append(id(worker))
            try:
                [found] = self._ask(worker, order, lambda: False)
                return found
            except ServeError:
                if len(tried) > len(self._workers):
                    raise

    def _least_busy(self, tried: Sequence[int]) -> Supervised:
        with self._choosing:
            fresh = [worker for worker in self._workers if id(worker) not in tried] or self._workers
            able = [worker for worker in fresh if not worker.ailing() and not _silence(worker)]
            return min(able or fresh, key=lambda worker: worker.load)

    def _ask(self, worker: Supervised, order: Mapping[str, Any], cancelled: Callable[[], bool]) -> Iterator[Any]:
        box: Box = SimpleQueue()
        number = worker.ask(order, box)
        try:
            while not cancelled():
                try:
                    step = box.get(timeout=LOOK_SECONDS)
                except Empty:
                    if why := _silence(worker):
                        raise ServeError(why, where=worker.name, mend="ask again") from None
                    continue
                if isinstance(step, Exception):
                    raise step
                yield from step.ids
                if step.finish:
                    return
        finally:
            worker.cancel(number)


def _check_same(said: Piece, again: Piece, worker: Supervised) -> None:
    if (said.text, said.token_ids) != (again.text, again.token_ids):
        raise ServeError(
            "the worker that answered was lost, and another says it otherwise", where=worker.name, mend="ask again"
        )


def _silence(worker: Supervised) -> str:
    return f"it has been silent for {worker.silent_seconds:.1f} s" if worker.silent_seconds > SILENT_SECONDS else ""


def open_workers(
    count: int, opening: Mapping[str, Any], *, name: str, module: str = MODULE, tell: Tell = hush
) -> WorkersModel:
    """Start workers that open the same model. `opening` says what, as the worker's module reads it."""
    workers = [
        Supervised(
            module, opening, name=f"worker {number} of {name}", stuck_seconds=STUCK_SECONDS, beats=True, tell=tell
        )
        for number in range(1, count + 1)
    ]
    model = WorkersModel(workers, name=name)
    model.open()
    return model
