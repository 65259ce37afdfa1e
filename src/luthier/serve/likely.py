"""Log-probabilities in the forms of the API: chats have one, plain completions another."""

from collections.abc import Callable, Sequence
from typing import Any

from luthier.engine.ports import Answer, Likely

Spell = Callable[[Sequence[int]], list[bytes]]


def of_chat(likely: Sequence[Likely], spell: Spell) -> dict[str, Any]:
    """Give the log-probabilities of a chat's tokens."""
    return {"content": [_one(at, spell) for at in likely], "refusal": None}


def _one(at: Likely, spell: Spell) -> dict[str, Any]:
    first, *others = spell([at.token_id, *(token_id for token_id, _ in at.top)])
    top = [_token(word, value) for word, (_, value) in zip(others, at.top, strict=True)]
    return {**_token(first, at.logprob), "top_logprobs": top}


def _token(word: bytes, logprob: float) -> dict[str, Any]:
    return {"token": word.decode("utf-8", "replace"), "logprob": _finite(logprob), "bytes": list(word)}


def _finite(logprob: float) -> float:
    return max(logprob, -9999.0)  # what OpenAI writes for a token that cannot be


def of_completion(likely: Sequence[Likely], spell: Spell, begin: int) -> dict[str, Any]:
    """Give the log-probabilities of a plain completion's tokens; `begin` is where its text begins."""
    words = [_written(word) for word in spell([at.token_id for at in likely])]
    tops = []
    for at in likely:
        names = [_written(word) for word in spell([token_id for token_id, _ in at.top])]
        tops.append({name: _finite(value) for name, (_, value) in zip(names, at.top, strict=True)})
    offsets = [begin]
    for word in words[:-1]:
        offsets.append(offsets[-1] + len(word))
    return {
        "tokens": words,
        "token_logprobs": [_finite(at.logprob) for at in likely],
        "top_logprobs": tops,
        "text_offset": offsets[: len(words)],
    }


def of_echoed(answer: Answer, spell: Spell) -> dict[str, Any]:
    """Give those of an echoed prompt's tokens and of what was said after them; of the first one nothing is known."""
    first = _written(spell(answer.prompt_ids[:1])[0])
    rest = of_completion((*answer.prompt_logprobs, *answer.logprobs), spell, len(first))
    before = {"tokens": first, "token_logprobs": None, "top_logprobs": None, "text_offset": 0}
    return {key: [value, *rest[key]] for key, value in before.items()}


def _written(word: bytes) -> str:
    try:
        return word.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in word)
