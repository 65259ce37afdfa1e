"""Faults told to whoever runs the server; the client sees an error object and nothing else."""

import traceback

from luthier.event import Failed, Tell
from luthier.serve.refusal import RefusedError, status_of


def report(error: BaseException, tell: Tell) -> None:
    """Tell what the client cannot mend; a full line and a key without scope are no faults."""
    if status_of(error) >= 500 and not isinstance(error, RefusedError):
        lines = "".join(traceback.format_exception(error)).rstrip()
        tell(Failed(f"a request failed: {error}", where=lines, mend="the server goes on; mend what is named above"))
