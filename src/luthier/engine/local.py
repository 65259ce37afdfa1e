"""The first engine: transformers' models in this process, in batches or token by token."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from luthier.artifact.tokens import Tokens
from luthier.engine.constrain import Grammars
from luthier.engine.decode import Row, decode
from luthier.engine.draw import Draw, read_defaults, settle
from luthier.engine.ports import ALWAYS_TAKEN, Answer, Piece, Prompt, Sampling, check_takes
from luthier.engine.score import begin, log_likelihoods, prompt_likelihoods, shared_beginning
from luthier.engine.speaker import Speaker
from luthier.engine.twins import find_twins
from luthier.engine.words import Words
from luthier.event import Chose, Progress, Tell, Warned, hush
from luthier.model.load import load_adapted, load_causal
from luthier.model.machine import choose_device, choose_dtype
from luthier.model.template import Template, open_template

ROWS_PER_BATCH = 32
PROMPT_TOKENS_PER_BATCH = 8192
"""Bounds the activations of the first step: padded prompt tokens of all rows."""
CACHE_TOKENS_PER_BATCH = 65_536
"""Bounds the cache: padded prompt tokens and the most new tokens, of all rows."""
SCORE_TOKENS_PER_BATCH = 4096
SCORE_SUPERVISED_PER_BATCH = 1024
"""Bounds the logits: 200 MB of float32 at a vocabulary of 49,152."""

TAKES = ALWAYS_TAKEN | {
    "min_tokens",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "top_logprobs",
    "prompt_logprobs",
    "json_schema",
    "max_seconds",
}


class LocalModel:
    """A model in this process. One request at a time: others wait for its lock."""

    def __init__(self, model: Any, template: Template, *, name: str, draw: Draw) -> None:
        self.model = model
        self.template = template
        self._name = name
        self._draw = draw
        self._words = Words(template, int(model.get_input_embeddings().weight.shape[0]))
        self._lock = threading.Lock()
        self._grammars = Grammars(template.tokenizer, self._words.vocabulary, template.stop_ids)

    @property
    def name(self) -> str:
        """What it is called."""
        return self._name

    @property
    def defaults(self) -> Mapping[str, Any]:
        """What the model's generation_config.json asks for: temperature, top_p, top_k, repetition_penalty."""
        return self._draw.plain()

    @property
    def takes(self) -> frozenset[str]:
        """What it heeds of a request's wishes."""
        return TAKES

    @property
    def context(self) -> int:
        """The longest sequence it takes, in tokens."""
        return self.template.context

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

    def answer(self, prompts: Sequence[Prompt], sampling: Sampling, tell: Tell = hush) -> list[Answer]:
        """Answer many prompts in batches of about the same length; answers come in the prompts' order.

        Every prompt is checked before the first is answered. A seed counts for each prompt by itself, so an answer
        does not depend on which others are asked beside it.
        Raises DataError for a prompt that is empty, does not fit the context, or holds ids outside the vocabulary.
        """
        rows = [self._row(prompt, sampling, f"prompt {index + 1}") for index, prompt in enumerate(prompts)]
        done = 0
        for batch in _batches(rows):
            with self._lock:
                self._look_at_prompts(batch, sampling)
                for step in decode(self.model, batch, self.template.stop_ids, _never):
                    finished = sum(row.finish is not None for row, _ in step)
                    if finished:
                        done += finished
                        tell(Progress("answers", done, len(rows), "answers"))
        return [row.answer() for row in rows]

    def stream(self, prompt: Prompt, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        """Answer one prompt piece by piece: the same tokens `answer` gives.

        The prompt is checked before this returns. A stream that is cancelled ends without its last piece.
        """
        return self._pieces(self._row(prompt, sampling, "the prompt"), sampling, cancelled)

    def _pieces(self, row: Row, sampling: Sampling, cancelled: Callable[[], bool]) -> Iterator[Piece]:
        told = 0
        with self._lock:
            self._look_at_prompts([row], sampling)
            for [(_, fresh)] in decode(self.model, [row], self.template.stop_ids, cancelled):
                if not fresh and row.finish is None:
                    continue
                token_ids = tuple(row.token_ids[told:])
                prompt_ids = row.prompt_ids if told == 0 else ()
                logprobs = tuple(row.logprobs[told:])
                told = len(row.token_ids)
                yield Piece(fresh, row.answer() if row.finish else None, token_ids, prompt_ids, logprobs)

    def _look_at_prompts(self, rows: Sequence[Row], sampling: Sampling) -> None:
        if sampling.prompt_logprobs is not None:
            for row in rows:
                row.prompt_logprobs = prompt_likelihoods(self.model, row.prompt_ids, sampling.prompt_logprobs)

    def score(self, rows: Sequence[Tokens], tell: Tell = hush) -> list[npt.NDArray[np.float64]]:
        """Give, for each row, the natural log-probability of each of its supervised tokens, shape (supervised,).

        Rows that differ in nothing but their last token, which alone is supervised, share a pass; what all rows begin
        with (solved examples) is computed once.
        Raises DataError for a row that does not fit the context or holds ids outside the vocabulary.
        """
        for index, row in enumerate(rows):
            self._words.check(row.ids.tolist(), 0, f"row {index + 1}")
        scores = [np.zeros(0) for _ in rows]
        twins = find_twins(rows)
        firsts = list(twins)
        done = 0
        shared = shared_beginning(rows)
        with self._lock:
            beginning = begin(self.model, next(row.ids[:shared] for row in rows if row.supervised)) if shared else None
        shared = 0 if beginning is None else shared
        parts = [_after(rows[index], shared) for index in firsts]
        for batch in _score_batches(parts, shared):
            asked = [firsts[place] for place in batch]
            others = [[int(rows[twin].ids[-1]) for twin in twins[index]] for index in asked]
            told = others if any(others) else ()
            with self._lock:
                found = log_likelihoods(self.model, [parts[place] for place in batch], told, beginning)
            for index, values in zip(asked, found, strict=True):
                scores[index] = values[: rows[index].supervised]
                for twin, value in zip(twins[index], values[rows[index].supervised :], strict=True):
                    scores[twin] = np.asarray([value])
            done += sum(1 + len(twins[index]) for index in asked)
            tell(Progress("scores", done, len(rows), "rows"))
        return scores

    def _row(self, prompt: Prompt, sampling: Sampling, where: str) -> Row:
        check_takes(self, sampling)
        draw = settle(sampling, self._draw, self._words.vocabulary)
        ids = self._words.ids(prompt)
        self._words.check(ids, 1, where)
        room = self.context - len(ids)
        generator = torch.Generator()
        if sampling.seed is None:
            generator.seed()
        else:
            generator.manual_seed(sampling.seed)
        return Row(
            prompt_ids=tuple(ids),
            limit=room if sampling.max_tokens is None else min(sampling.max_tokens, room),
            draw=draw,
            generator=generator,
            speaker=Speaker(self.template.decode, sampling.stop),
            grammar=None if sampling.json_schema is None else self._grammars.open(sampling.json_schema),
            top=sampling.top_logprobs,
            most_seconds=sampling.max_seconds,
        )


def open_local(
    folder: Path,
    *,
    name: str,
    adapter: Path | None = None,
    dtype: str = "auto",
    device: str = "auto",
    trust_remote_code: bool = False,
    tell: Tell = hush,
) -> LocalModel:
    """Open a model folder, with an adapter on it if one is given, for answering and scoring.

    `auto` chooses device and dtype by the machine and tells why. Raises ModelError if either folder is not whole.
    """
    if device == "auto":
        choice = choose_device()
        device = choice.value
        tell(Chose("device", choice.value, choice.why))
    if dtype == "auto":
        choice = choose_dtype(device)
        dtype = choice.value
        tell(Chose("dtype", choice.value, choice.why))
    template = open_template(folder)
    draw, lacking = read_defaults(folder)
    for key, value in lacking.items():
        tell(
            Warned(
                f"generation_config.json sets {key} to {value!r}, which this engine lacks: it is left out",
                mend=f"remove {key} from {folder / 'generation_config.json'}",
            )
        )
    model = load_causal(folder, dtype=dtype, device=device, trust_remote_code=trust_remote_code)
    if adapter is not None:
        model = load_adapted(model, adapter)
    return LocalModel(model, template, name=name, draw=draw)


def _never() -> bool:
    return False


def _batches(rows: Sequence[Row]) -> Iterator[list[Row]]:
    """Longest prompts first: what does not fit the memory fails at once, and little is padded."""
    batch: list[Row] = []
    most_new = 0
    for row in sorted(rows, key=lambda row: -len(row.prompt_ids)):
        width = len(batch[0].prompt_ids) if batch else len(row.prompt_ids)
        most_new = max(most_new, row.limit)
        is_over = (
            len(batch) == ROWS_PER_BATCH
            or (len(batch) + 1) * width > PROMPT_TOKENS_PER_BATCH
            or (len(batch) + 1) * (width + most_new) > CACHE_TOKENS_PER_BATCH
        )
        if batch and is_over:
            yield batch
            batch, most_new = [], row.limit
        batch.append(row)
    if batch:
        yield batch


def _after(row: Tokens, shared: int) -> Tokens:
    """What follows a beginning that rows share."""
    return Tokens(row.ids[shared:], row.mask[shared:]) if shared else row


def _score_batches(rows: Sequence[Tokens], before: int = 0) -> Iterator[list[int]]:
    """Indices of rows of about the same length, longest first; rows that learn nothing are left out.

    `before` tokens lie in a cache before each row.
    """
    batch: list[int] = []
    supervised = 0
    for index in sorted((i for i, row in enumerate(rows) if row.supervised), key=lambda i: -len(rows[i].ids)):
        width = len(rows[batch[0]].ids) if batch else 0
        supervised += rows[index].supervised
        is_over = (
            (len(batch) + 1) * width > SCORE_TOKENS_PER_BATCH
            or supervised > SCORE_SUPERVISED_PER_BATCH
            or (before and (len(batch) + 1) * (width + before) > CACHE_TOKENS_PER_BATCH)
        )
        if batch and is_over:
            yield batch
            batch, supervised = [], rows[index].supervised
        batch.append(index)
    if batch:
        yield batch
