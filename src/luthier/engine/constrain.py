"""Answers that a JSON Schema allows, and nothing else: which tokens may come next is told by llguidance."""

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from luthier.errors import DataError

REMEMBERED = 32
"""Compiled schemas kept, the least recently used go first."""

WHITESPACE = r"( |\n {0,16})?"
"""Between the parts of a value: a small model that may write any number of blanks often writes nothing else."""


class Grammar:
    """One answer's way through a schema."""

    def __init__(self, matcher: Any) -> None:
        self._matcher = matcher

    def mask(self, logits_V: Tensor) -> Tensor:
        """Give the logits with every token ruled out that cannot come next."""
        allowed_V = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8) == 0
        return logits_V.masked_fill(allowed_V[: len(logits_V)], -torch.inf)

    def take(self, token_id: int) -> bool:
        """Go on by a token. Gives whether the value is whole, so that nothing may follow it."""
        self._matcher.consume_token(token_id)
        return bool(self._matcher.is_stopped())


class Grammars:
    """Schemas compiled for one tokenizer."""

    def __init__(self, tokenizer: Any, vocabulary: int, stop_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = vocabulary
        self._stop_ids = sorted(stop_ids)
        self._known: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    def open(self, schema: str) -> Grammar:
        """Give a fresh way through a schema. Raises DataError for one that is wrong, unknown here, or cannot be met."""
        from llguidance import LLMatcher

        with self._lock:
            if schema not in self._known:
                options: Any = {"whitespace_flexible": True, "whitespace_pattern": WHITESPACE}
                try:
                    matcher = LLMatcher(self._words, LLMatcher.grammar_from_json_schema(schema, overrides=options))
                except ValueError as error:
                    raise _refused(str(error)) from None
                if matcher.is_error():
                    raise _refused(matcher.get_error())
                self._known[schema] = matcher
                while len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
            self._known.move_to_end(schema)
            return Grammar(self._known[schema].deep_copy())

    @cached_property
    def _words(self) -> Any:
        from llguidance.hf import from_tokenizer  # a second or so: only once a schema is asked for

        return from_tokenizer(self._tokenizer, n_vocab=self._vocabulary, eos_token=self._stop_ids)


def _refused(message: str) -> DataError:
    return DataError(
        f"the schema cannot be kept: {message.strip().splitlines()[0]}",
        where="key json_schema",
        mend="send a JSON Schema that some value meets, with keywords that are known here",
    )
