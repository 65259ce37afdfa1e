"""Whether the server lives, and whether its engines do their work: not only whether the port is open."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from luthier.artifact.example import Message
from luthier.engine.ports import Piece, Sampling
from luthier.serve.gateway import Gateway
from luthier.serve.ladder import Apology
from luthier.serve.pieces import Gone
from luthier.serve.shelf import Served

PROBE_SECONDS = 5.0
"""How long a token may take that is asked for to see whether the engine works."""
FRESH_SECONDS = 30.0
"""An engine that said something so lately is not asked again."""
QUESTION = (Message("user", "Hi"),)


async def ready(gateway: Gateway) -> tuple[bool, Mapping[str, Any]]:
    """Give whether every model can answer, and the state of each.

    An engine that has said nothing lately and has nothing to do is asked for one token.
    """
    states = await asyncio.gather(*(_state(gateway, served) for served in gateway.shelf.served.values()))
    models = dict(zip(gateway.shelf.served, states, strict=True))
    is_ready = not gateway.is_draining and all(state["status"] == "ready" for state in states)
    return is_ready, {"status": "ready" if is_ready else "unavailable", "models": models}


async def _state(gateway: Gateway, served: Served) -> dict[str, Any]:
    why = served.ailing(gateway.spec.stuck_seconds)
    if not why and not isinstance(served.model, Apology) and _is_due(served):
        why = await _probe(served)
    rate = served.line.tokens_per_second
    return {
        "status": "unavailable" if why else "ready",
        "why": why or None,
        "running": served.line.running,
        "waiting": served.line.waiting,
        "tokens_per_second": None if rate is None else round(rate, 1),
        "breaker": served.breaker.state,
        "seconds_since_progress": round(time.monotonic() - served.last_progress, 1),
    }


def _is_due(served: Served) -> bool:
    return not served.line.running and time.monotonic() - served.last_progress > FRESH_SECONDS


async def _probe(served: Served) -> str:
    """Ask for one token; gives why it did not come."""
    gone = Gone()

    def first() -> Piece | None:
        return next(iter(served.model.stream(QUESTION, Sampling(max_tokens=1), gone)), None)

    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await asyncio.get_running_loop().run_in_executor(served.pool, first)
    except TimeoutError:
        return f"a token that was asked for did not come within {PROBE_SECONDS:g} s"
    except Exception as error:  # whatever it is, the engine does not answer
        return f"a token that was asked for did not come: {type(error).__name__}"
    finally:
        gone.say()
    served.last_progress = time.monotonic()
    return ""
