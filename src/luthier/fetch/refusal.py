"""Why a server did not give what was asked, and what to do about it."""

from collections.abc import Mapping
from dataclasses import dataclass

from luthier.errors import FetchError

BY_STATUS = {
    401: ("does not accept the token, or wants one", "{token}"),
    403: ("forbids to read it", "give the token the right to read it, or ask its owner; {token}"),
    404: ("has no such file", "check the spelling"),
    410: ("has it no more", "take another revision or another source"),
    451: ("may not give it in your country", "take another source"),
}


@dataclass(frozen=True)
class Asked:
    """What was asked of whom, as errors name it."""

    name: str
    """The repository or the address."""
    where: str
    """Its address for a browser."""
    what: str = "file"
    """`model`, `data set` or `file`."""
    revision: str = ""
    token: str = "set token_file to a file that holds a token for this host"
    """How to give a token."""


def explain(status: int, headers: Mapping[str, str], asked: Asked) -> FetchError:
    """Give the error to raise for a refusal. The hub says more in the header X-Error-Code."""
    reason = _by_code(status, headers.get("x-error-code", ""), asked)
    if reason is None:
        what, mend = BY_STATUS.get(status, (f"answers with status {status}", "try again later, or set endpoint"))
        server = asked.where.partition("://")[2].partition("/")[0]
        reason = f"{server} {what} ({asked.name!r}, status {status})", mend.format(token=asked.token)
    return FetchError(reason[0], where=asked.where, mend=reason[1])


def _by_code(status: int, code: str, asked: Asked) -> tuple[str, str] | None:
    if code == "GatedRepo":
        return (
            f"{asked.name!r} is gated: the hub gives it only to those who accepted its terms",
            f"accept its terms at {asked.where}, then {asked.token}",
        )
    if code == "RevisionNotFound":
        return f"{asked.name!r} has no revision {asked.revision!r}", f"take one of those listed at {asked.where}"
    if code == "EntryNotFound":
        return f"{asked.name!r} has no such file", f"take one of those listed at {asked.where}"
    is_repository = asked.what != "file"
    if code == "RepoNotFound" or (is_repository and status == 404):
        return (
            f"there is no {asked.what} {asked.name!r} on the hub, or it is private",
            f"check the spelling; for a private one {asked.token}; write a folder as ./{asked.name}",
        )
    return None
