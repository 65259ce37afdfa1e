"""What an example is known by: a hash of what is learned from it, not of where it came from or what it weighs."""

import hashlib
import json
from typing import Any

from luthier.artifact.example import Example, plain


def content_id(example: Example) -> str:
    """Give the first 16 hex digits of the SHA-256 of the content as JSON: of a plain chat its messages alone."""
    text = json.dumps(_content(example), ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _content(example: Example) -> Any:
    messages = plain(example.messages)
    more: dict[str, Any] = {}
    if example.tools:
        more["tools"] = list(example.tools)
    if example.rejected is not None:
        more["rejected"] = plain([example.rejected])
    if example.desirable is not None:
        more["desirable"] = example.desirable
    if example.texts:
        more["texts"] = list(example.texts)
    if example.label is not None:
        more["label"] = list(example.label) if isinstance(example.label, tuple) else example.label
    return {"messages": messages, **more} if more else messages
