"""Why a hub did not give what was asked, and what to do about it."""

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from luthier.errors import FetchError

BY_STATUS = {
    401: ("does not accept the token, or wants one", "set HF_TOKEN to a valid token, or run hf auth login"),
    403: ("forbids this token to read it", "give the token the right to read this model, or ask its owner"),
    429: ("was asked too often", "wait some minutes, then run the same command again: it goes on where it broke off"),
}


def explain(error: Exception, name: str, revision: str | None, endpoint: str) -> FetchError:
    """Give the error to raise for what huggingface_hub raised."""
    where = f"{endpoint}/{name}"
    if isinstance(error, GatedRepoError):
        mend = f"accept its terms at {where}, then set HF_TOKEN or run hf auth login"
        return FetchError(
            f"{name!r} is gated: the hub gives it only to those who accepted its terms", where=where, mend=mend
        )
    if isinstance(error, RevisionNotFoundError):
        return FetchError(
            f"{name!r} has no revision {revision!r}", where=where, mend=f"take one of those listed at {where}/tree/main"
        )
    if isinstance(error, RepositoryNotFoundError):
        return FetchError(
            f"there is no model {name!r} on the hub, or it is private",
            where=where,
            mend=f"check the spelling; for a private one set HF_TOKEN or run hf auth login; write a folder as ./{name}",
        )
    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        what, mend = BY_STATUS.get(status, (f"answers with status {status}", "try again later, or set endpoint"))
        return FetchError(f"the hub {what} ({name!r}, status {status})", where=where, mend=mend)
    if isinstance(error, HFValidationError):
        return FetchError(f"{name!r} cannot be a name on the hub", where="fetch, key source", mend="write owner/name")
    if isinstance(error, OfflineModeIsEnabled):
        return FetchError(
            f"{name!r} is not here, and the hub may not be asked", where="HF_HUB_OFFLINE", mend="unset HF_HUB_OFFLINE"
        )
    return FetchError(
        f"the hub cannot be reached: {type(error).__name__}: {str(error).partition(chr(10))[0]}",
        where=where,
        mend="check the network and its proxy, or set endpoint to a mirror (or source to a folder); then run the same "
        "command again: it goes on where it broke off",
    )
