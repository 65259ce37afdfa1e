"""Tokens: found in a file or in the usual place, put into headers, written nowhere."""

import os
from collections.abc import Mapping
from pathlib import Path

from luthier.errors import SpecError
from luthier.event import Chose, Tell

HUB_MEND = "set HF_TOKEN or token_file, or run hf auth login"
MODELSCOPE_MEND = "set MODELSCOPE_API_TOKEN or token_file"


def hub_headers(token_file: str | None, endpoint: str, tell: Tell) -> dict[str, str]:
    """Give the headers for a hub: a token of the file, of HF_TOKEN or of the login; none where there is none."""
    from huggingface_hub import get_token

    token, why = _from_file(token_file), f"found in {token_file}"
    if token is None:
        token, why = get_token(), "found in the usual place (HF_TOKEN or the login)"
    return _bearer(token, why, endpoint, tell)


def modelscope_headers(token_file: str | None, endpoint: str, tell: Tell) -> dict[str, str]:
    """Give the headers for ModelScope, which takes its token as a cookie or as a bearer's."""
    token, why = _from_file(token_file), f"found in {token_file}"
    if token is None:
        token, why = os.environ.get("MODELSCOPE_API_TOKEN") or None, "found in MODELSCOPE_API_TOKEN"
    headers = _bearer(token, why, endpoint, tell)
    return headers | {"Cookie": f"m_session_id={token}"} if headers else headers


def file_headers(token_file: str | None, url: str, tell: Tell) -> Mapping[str, str]:
    """Give the headers for any other host: a token of the file, or none."""
    return _bearer(_from_file(token_file), f"found in {token_file}", url.partition("?")[0], tell)


def _bearer(token: str | None, why: str, receiver: str, tell: Tell) -> dict[str, str]:
    if token is None:
        return {}
    tell(Chose("token", "sent", f"{why}, for {receiver}"))
    return {"Authorization": f"Bearer {token}"}


def _from_file(token_file: str | None) -> str | None:
    if token_file is None:
        return None
    path = Path(token_file).expanduser()
    try:
        words = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError(
            f"the token cannot be read: {type(error).__name__}",
            where=f"fetch, key token_file, {path}",
            mend="give the path of a text file that holds the token and nothing else",
        ) from None
    if len(words) != 1 or not words[0].isascii():
        raise SpecError(
            f"the file holds {len(words)} words, not one token",
            where=f"fetch, key token_file, {path}",
            mend="write the token into it and nothing else",
        )
    return words[0]
