"""What one may ask of serve."""

from typing import Annotated

from pydantic import Field, SecretStr

from luthier.spec import Spec


class ServeSpec(Spec):
    """Where the server listens, and what it lets in."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 lets other machines ask."""

    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """Port to listen on; 0 takes a free one and tells which."""

    max_tokens: Annotated[int, Field(ge=1)] | None = 1024
    """New tokens of an answer whose request sets no bound; none: up to the end of the model's context."""

    waiting: Annotated[int, Field(ge=0)] = 64
    """Requests that may wait for a model; one more is refused with status 429."""

    body_bytes: Annotated[int, Field(ge=1024)] = 4 * 2**20
    """The longest request body, in bytes."""

    api_keys: tuple[SecretStr, ...] = ()
    """Keys of which a request must bring one (`Authorization: Bearer KEY`); none: everybody may ask."""

    shutdown_seconds: Annotated[int, Field(ge=0)] = 5
    """How long running answers may go on after the server was asked to stop, in seconds."""
