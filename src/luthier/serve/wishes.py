"""From what was asked to what an engine is asked: checked against the model before anything waits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from luthier.artifact.example import Conversation, Message
from luthier.engine.ports import CONTEXT, Prompt, Sampling, Spelled
from luthier.engine.tools_written import written
from luthier.errors import DataError
from luthier.serve.answering import Wish
from luthier.serve.capture import spoken
from luthier.serve.refusal import RefusedError
from luthier.serve.request import Asked
from luthier.serve.schema import check_schema
from luthier.serve.shelf import Served, Shelf

LETTERS_PER_TOKEN = 3
"""A guess, where nothing here knows the model's tokens; it only sets a request's place in the line."""
TOKENS_PER_ANSWER = 1024
"""A guess, where neither the request nor the server bounds an answer."""

NAMES = {
    "max_seconds": "max_time",
    "json_schema": "response_format",
    "top_logprobs": "logprobs",
    "prompt_logprobs": "echo with logprobs",
}
"""What clients call a wish, where that is not the name of Sampling's field."""


@dataclass(frozen=True)
class Wished:
    """A request as an engine is asked."""

    wishes: tuple[Wish, ...]
    prompts: tuple[Prompt, ...]
    """As token ids, where the model's tokens are known here."""

    @property
    def tokens(self) -> int:
        """Of all prompts and of all wished answers."""
        return sum(wish.tokens for wish in self.wishes)


async def wished(asked: Asked, served: Served, shelf: Shelf) -> Wished:
    """Check a request against a model and count it.

    Raises RefusedError for a wish the engine does not heed, DataError for a prompt that does not fit or for token ids
    that are none of the model's.
    """
    check_heeded(asked, served)
    if asked.sampling.json_schema is not None:
        check_schema(asked.sampling.json_schema, asked.names.get("json_schema", NAMES["json_schema"]))
    words = served.words
    prompts: Sequence[Prompt] = asked.prompts
    if words is not None:
        loop = asyncio.get_running_loop()
        prompts = await loop.run_in_executor(shelf.reading, _encode, words, asked)
    counts = [len(prompt) if isinstance(prompt, tuple) and words else _guess(prompt) for prompt in prompts]
    wishes = [
        Wish(prompt, sampling, count + (sampling.max_tokens or TOKENS_PER_ANSWER))
        for prompt, count in zip(prompts, counts, strict=True)
        for sampling in _samplings(asked, count, words)
    ]
    return Wished(tuple(wishes), tuple(prompts))


def check_heeded(asked: Asked, served: Served) -> None:
    """Raise RefusedError (400) for a wish that the engine would leave out in silence."""
    plain = Sampling()
    takes = served.model.takes
    for wish in fields(Sampling):
        if getattr(asked.sampling, wish.name) == getattr(plain, wish.name) or wish.name in takes:
            continue
        name = asked.names.get(wish.name, NAMES.get(wish.name, wish.name))
        raise RefusedError(
            f"the engine of {served.name!r} ({type(served.model).__name__}) does not know {name}",
            where=f"request body, key {name}",
            mend=f"leave {name} out, or ask a model whose engine has it",
            code="unsupported_parameter",
        )


def _encode(words: Spelled, asked: Asked) -> list[Prompt]:
    return [_checked(words, prompt, place, asked) for place, prompt in enumerate(asked.prompts)]


def _checked(words: Spelled, prompt: Prompt, place: int, asked: Asked) -> tuple[int, ...]:
    ids = _ids(words, prompt)
    where = "request body, key messages" if asked.is_chat else f"request body, key prompt.{place}"
    if not ids:
        raise DataError("the prompt is empty: it has 0 tokens", where=where, mend="give at least one token")
    if len(ids) + 1 > words.context:
        raise DataError(
            f"the prompt has {len(ids)} tokens, the model's context is {words.context}"
            " and an answer needs at least one",
            where=f"{where.replace(', key', ':')}, {CONTEXT}",
            mend=f"shorten it to at most {words.context - 1} tokens",
        )
    biased = [token_id for token_id, _ in asked.sampling.logit_bias]
    for name, some in (("prompt", ids), ("logit_bias", biased)):
        outside = next((token_id for token_id in some if not 0 <= token_id < words.vocabulary), None)
        if outside is not None:
            raise DataError(
                f"the token id {outside} is outside the vocabulary (0 to {words.vocabulary - 1})",
                where=f"request body, key {name}",
                mend="use the ids of this model's own tokenizer",
            )
    return ids


def _ids(words: Spelled, prompt: Prompt) -> tuple[int, ...]:
    """Give a prompt's ids; where its template has no place for tools, they are written as text."""
    try:
        return words.encode(prompt)
    except DataError:
        talk = prompt if isinstance(prompt, Conversation) else Conversation(spoken(prompt)[0])
        if not talk.tools and not any(turn.calls for turn in talk.messages):
            raise
        try:
            return words.encode(written(talk))
        except DataError:
            pass
        raise


def _samplings(asked: Asked, count: int, words: Spelled | None) -> list[Sampling]:
    """Give one for each of a prompt's answers; each draws from its own seed."""
    sampling = asked.sampling
    if words is not None and sampling.max_tokens is not None:
        sampling = replace(sampling, max_tokens=min(sampling.max_tokens, words.context - count))
    if sampling.seed is None:
        return [sampling] * asked.choices_per_prompt
    return [replace(sampling, seed=(sampling.seed + index) % 2**63) for index in range(asked.choices_per_prompt)]


def _guess(prompt: Prompt) -> int:
    if isinstance(prompt, str):
        return len(prompt) // LETTERS_PER_TOKEN + 1
    turns = prompt.messages if isinstance(prompt, Conversation) else prompt
    return sum(len(turn.content) // LETTERS_PER_TOKEN + 8 if isinstance(turn, Message) else 1 for turn in turns)


def echoes(asked: Asked, prompts: Sequence[Prompt], served: Served) -> list[str]:
    """Give the texts of prompts that are to be echoed."""
    if not asked.echo:
        return []
    return [_text(prompt, ids, served) for prompt, ids in zip(asked.prompts, prompts, strict=True)]


def _text(prompt: Prompt, ids: Prompt, served: Served) -> str:
    if isinstance(prompt, str):
        return prompt
    if served.words is None:
        raise RefusedError(
            f"the engine of {served.name!r} does not know its tokens' texts, so ids cannot be echoed",
            where="request body, key echo",
            mend="leave echo out, or send the prompt as a text",
            code="unsupported_parameter",
        )
    known = ids if isinstance(ids, tuple) else ()
    spelled = served.words.spell([token_id for token_id in known if isinstance(token_id, int)])
    return b"".join(spelled).decode("utf-8", "replace")
