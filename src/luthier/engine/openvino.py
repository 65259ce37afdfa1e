"""The CPU engine: openvino-genai's continuous batches, in a process of their own that may crash without harm."""

import json
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
import numpy.typing as npt

from luthier.artifact.tokens import Tokens
from luthier.engine.asked import Asked
from luthier.engine.draw import Draw, settle
from luthier.engine.openvino_schema import not_kept
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling, check_takes
from luthier.engine.supervised import Box, Step, Supervised
from luthier.engine.twins import find_twins
from luthier.engine.words import Words
from luthier.errors import DataError, KindError
from luthier.event import Progress, Tell, hush

TAKES = ALWAYS_TAKEN | {
    "min_tokens",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "json_schema",
    "max_seconds",
}
"""What openvino-genai has; it tells no log-probabilities but the chosen token's, and knows no bias."""

AT_ONCE = 16
ASKED_AHEAD = 64
"""How many prompts of a batch the engine has at a time: as many as it goes on with in one step."""
LOOK_SECONDS = 0.05
"""How often a stream that hears nothing looks whether its client has gone."""


class OpenVinoModel:
    """A model in a process of openvino-genai: many answers at once, each unmoved by the others."""

    def __init__(self, engine: Supervised, words: Words, *, name: str, draw: Draw, work: Path | None = None) -> None:
        self.engine = engine
        self._words = words
        self._name = name
        self._draw = draw
        self._work = work

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the model's generation_config.json asks for."""
        return self._draw.plain()

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds of a request's wishes."""
        return TAKES

    @property
    def at_once(self) -> int:
        """How many streams it takes at the same time."""
        return AT_ONCE

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens."""
        return self._words.template.context

    @property
    def vocabulary(self) -> int:
        """How many token ids there are."""
        return self._words.vocabulary

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """Give the ids a prompt is fed as. Raises DataError if the template refuses the messages."""
        return tuple(self._words.ids(prompt))

    def spell(self, token_ids: Sequence[int]) -> list[bytes]:
        """Give each token's own bytes."""
        return self._words.spell(token_ids)

    def ailing(self) -> str:
        """Give why it cannot answer just now, '' while it can."""
        return self.engine.ailing()

    def close(self) -> None:
        """End its process."""
        self.engine.close()
        if self._work is not None:
            shutil.rmtree(self._work, ignore_errors=True)

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts at full batch; answers come in the prompts' order.

        Every prompt is checked before the first is answered. Raises DataError as the port says, ServeError if the
        engine's process ends meanwhile.
        """
        draw = self._draw_of(sampling)
        asked = [self._asked(prompt, sampling, f"prompt {index + 1}") for index, prompt in enumerate(prompts)]
        box: Box = SimpleQueue()
        running: dict[int, Asked] = {}
        begun = done = 0
        try:
            while True:
                fresh = asked[begun : begun + ASKED_AHEAD - len(running)]
                if fresh:  # at once: which rows share a step, and so a sum's rounding, is the same at every run
                    orders = [self._order(one, sampling, draw) for one in fresh]
                    running.update(zip(self.engine.ask_all(orders, box), fresh, strict=True))
                    begun += len(fresh)
                if not running:
                    return [one.answer() for one in asked]
                step = _opened(box.get())
                asking = running.get(step.number)
                if asking is None:  # it was ended here while this step came
                    continue
                asking.take(step, speaks=bool(sampling.stop))
                if asking.finish:
                    del running[step.number]
                    self.engine.cancel(step.number)
                    done += 1
                    tell(Progress("answers", done, len(asked), "answers"))
        finally:
            for number in running:
                self.engine.cancel(number)

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece; at temperature 0 the same tokens `answer` gives.

        The prompt is checked before this returns. A stream that is cancelled ends without its last piece.
        """
        return self._pieces(self._asked(prompt, sampling, "the prompt"), sampling, self._draw_of(sampling), cancelled)

    def score(self, rows: Sequence[Tokens], tell: Tell = hush) -> list[npt.NDArray[np.float64]]:
        """Give, for each row, the natural log-probability of each of its supervised tokens, by the same graph.

        Rows that differ in nothing but their last token, which alone is supervised, share a reading.
        Raises DataError for a row that does not fit the context or holds ids outside the vocabulary, KindError where an
        adapter is on: it is not in the graph.
        """
        if self._work is not None:
            what = f"the CPU engine does not tell how likely given tokens are to {self.name} with its adapter on"
            raise KindError(
                what, where=self.name, mend="merge it first (luthier merge), or ask by --engine transformers"
            )
        for index, row in enumerate(rows):
            self._words.check(row.ids.tolist(), 0, f"row {index + 1}")
        scores = [np.zeros(0) for _ in rows]
        done = 0
        # rows that begin alike follow one another: the process reads what they share once, where it can
        found = find_twins(rows)
        for index in sorted(found, key=lambda index: tuple(rows[index].ids.tolist())):
            row, twins = rows[index], found[index]
            if row.supervised:
                values = self._values(row, [int(rows[twin].ids[-1]) for twin in twins])
                scores[index] = values[: row.supervised]
                for twin, value in zip(twins, values[row.supervised :], strict=True):
                    scores[twin] = np.asarray([value])
            done += 1 + len(twins)
            tell(Progress("scores", done, len(rows), "rows"))
        return scores

    def _values(self, row: Tokens, others: Sequence[int]) -> npt.NDArray[np.float64]:
        """Give the values of a row's supervised tokens, then of others that might have stood in its last place."""
        ids = row.ids.tolist()
        asked = [place for place in range(1, len(ids)) if row.mask[place]]
        places = [place - 1 for place in asked] + [len(ids) - 2] * len(others)
        box: Box = SimpleQueue()
        targets = [*(ids[place] for place in asked), *others]
        number = self.engine.ask({"ids": ids, "places": places, "targets": targets}, box)
        values: list[float] = []
        try:
            while not (step := _opened(box.get())).finish:
                values += step.ids
        finally:
            self.engine.cancel(number)
        return np.array(values)

    def _pieces(self, asked: Asked, sampling: Sampling, draw: Draw, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        box: Box = SimpleQueue()
        number = self.engine.ask(self._order(asked, sampling, draw), box)
        told = 0
        try:
            while not asked.finish and not cancelled():
                try:
                    step = _opened(box.get(timeout=LOOK_SECONDS))
                except Empty:
                    continue
                fresh = asked.take(step, speaks=True)
                if fresh or asked.finish:
                    ids, prompt_ids = tuple(asked.ids[told:]), asked.prompt_ids if told == 0 else ()
                    told = len(asked.ids)
                    yield Piece(fresh, asked.answer() if asked.finish else None, ids, prompt_ids)
        finally:
            self.engine.cancel(number)

    def _draw_of(self, sampling: Sampling) -> Draw:
        check_takes(self, sampling)
        _check_bounds(sampling)
        return settle(sampling, self._draw, self.vocabulary)

    def _asked(self, prompt: Prompt, sampling: Sampling, where: str) -> Asked:
        ids = self._words.ids(prompt)
        self._words.check(ids, 1, where)
        return Asked(self._words.template, tuple(ids), sampling)

    def _order(self, asked: Asked, sampling: Sampling, draw: Draw) -> dict[str, Any]:
        """Give what the process is asked, in the words of openvino-genai."""
        room = self.context - len(asked.prompt_ids)
        limit = room if sampling.max_tokens is None else min(sampling.max_tokens, room)
        config: dict[str, Any] = {
            "max_new_tokens": limit,
            "min_new_tokens": min(draw.min_tokens, limit),
            "repetition_penalty": draw.repetition_penalty,
            "presence_penalty": draw.presence_penalty,
            "frequency_penalty": draw.frequency_penalty,
        }
        if draw.temperature > 0:
            seed = secrets.randbits(32) if sampling.seed is None else sampling.seed % 2**63
            config |= {"do_sample": True, "temperature": draw.temperature, "top_p": draw.top_p, "rng_seed": seed}
            config |= {"top_k": draw.top_k} if draw.top_k else {}
        stop_ids = sorted(self._words.template.stop_ids)
        asked.begin()
        return {"ids": asked.prompt_ids, "config": config, "stop_ids": stop_ids, "schema": sampling.json_schema}


def _check_bounds(sampling: Sampling) -> None:
    """What openvino-genai bounds more tightly than the port, and the schemas it would not keep."""
    for name in ("presence_penalty", "frequency_penalty"):
        value = getattr(sampling, name)
        if not -2 <= value <= 2:
            raise DataError(f"{name} is {value!r}", where=f"key {name}", mend="give -2 to 2")
    if sampling.json_schema is None:
        return
    try:
        schema = json.loads(sampling.json_schema)
    except ValueError as error:
        mend = "send a JSON Schema as JSON text"
        raise DataError(f"the schema is not JSON: {error}", where="key json_schema", mend=mend) from None
    lost = not_kept(schema)
    if lost:
        raise DataError(
            f"the CPU engine would not keep {lost!r} of the schema",
            where="key json_schema",
            mend="leave it out, or serve the model by --engine transformers, which keeps it",
        )


def _opened(found: Step | Exception) -> Step:
    if isinstance(found, Exception):
        raise found
    return found
