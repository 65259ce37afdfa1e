"""What the port speaks of, as JSON, for engines in other processes."""

from typing import Any

from pydantic import TypeAdapter

from luthier.engine.ports import Piece, Prompt, Sampling

PROMPT: TypeAdapter[Prompt] = TypeAdapter(Prompt)
SAMPLING: TypeAdapter[Sampling] = TypeAdapter(Sampling)
PIECE: TypeAdapter[Piece] = TypeAdapter(Piece)


def plain(kind: TypeAdapter[Any], value: Any) -> Any:
    """Give a value as plain JSON."""
    return kind.dump_python(value, mode="json")
