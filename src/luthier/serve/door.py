"""Where a server listens, and who can reach it there."""

import socket
from pathlib import Path

from luthier.errors import ServeError
from luthier.serve.keys import KeyFile
from luthier.serve.spec import ServeSpec

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def check_door(spec: ServeSpec, keys: Path | None) -> None:
    """Raise ServeError if others than this machine could ask without a key."""
    if spec.host in LOOPBACK or spec.api_keys or spec.admin_keys or (keys and KeyFile(keys).known()):
        return
    raise ServeError(
        f"everybody who reaches {spec.host} could ask: there is no key",
        where="key host",
        mend="make one (luthier keys make NAME), or set api_keys, or host=127.0.0.1",
    )


def listen(host: str, port: int) -> socket.socket:
    """Take the address now, so that a port in use is told before anything else, and a free one is known.

    Raises ServeError if it cannot be had.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ServeError(
            f"host is {host!r}: {error.strerror}", where="key host", mend="give 127.0.0.1 or 0.0.0.0"
        ) from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)  # from here on clients wait instead of being refused
    except OSError as error:
        listener.close()
        raise ServeError(
            f"cannot listen on {host}:{port}: {error.strerror}",
            where="key port",
            mend="stop what uses it, or set another port (port=0 takes a free one)",
        ) from None
    return listener


def reached_at(host: str, port: int) -> str:
    """Give the URL at which this machine reaches what listens there."""
    host = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
