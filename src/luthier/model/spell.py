"""A token's own bytes: a token may be a part of a character, which no decoder writes as text."""

from collections.abc import Sequence
from functools import cache
from typing import Any

BLANK = "\u2581"
"""What SentencePiece writes for a blank."""


def spell(tokenizer: Any, token_ids: Sequence[int]) -> list[bytes]:
    """Give each token's bytes, special tokens as they are written; b'' for ids without a token."""
    names = tokenizer.convert_ids_to_tokens(list(token_ids))
    special = tokenizer.get_added_vocab()
    by_bytes = _writes_bytes(tokenizer)
    return [_bytes(name, by_bytes, name in special) for name in names]


def _bytes(name: str | None, by_bytes: bool, is_special: bool) -> bytes:
    if name is None:
        return b""
    if is_special:
        return name.encode()
    if by_bytes:
        known = _byte_of()
        if all(letter in known for letter in name):
            return bytes(known[letter] for letter in name)
        return name.encode()
    if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
        return bytes([int(name[3:5], 16)])
    return name.replace(BLANK, " ").encode()


def _writes_bytes(tokenizer: Any) -> bool:
    """Whether each letter of a token stands for a byte, as in GPT-2's vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in str(backend.decoder)


@cache
def _byte_of() -> dict[str, int]:
    """Give which byte a letter of GPT-2's vocabulary stands for.

    Bytes that print stand for themselves, the others for the letters from 256 on. Source: GPT-2's encoder.py.
    """
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("\xa1"), ord("\xac") + 1), *range(ord("\xae"), ord("\xff") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
