"""Serve models over HTTP until told to stop."""

import json
import logging
import signal
import threading
from asyncio import CancelledError
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from luthier.engine.ports import ChatModel
from luthier.errors import ServeError
from luthier.event import Said, Tell, Warned
from luthier.serve.door import check_door, listen, reached_at
from luthier.serve.given import Given
from luthier.serve.keys import KeyFile
from luthier.serve.spec import ServeSpec

VERSION = 1


def serve(spec: ServeSpec, models: Sequence[ChatModel], tell: Tell, given: Given | None = None) -> None:
    """Serve these models by their names until SIGINT or SIGTERM; tells the address once it can be asked.

    Raises ServeError if there is nothing to serve, if two models have one name, if the address cannot be had, or if
    others could ask without a key.
    """
    given = given or Given()
    _check_names(models)
    listener = listen(spec.host, spec.port)
    try:
        check_door(spec, given.keys)
        import uvicorn  # 0.2 s, and starlette another: only when somebody serves

        from luthier.serve.app import build_app

        config = uvicorn.Config(
            build_app(spec, models, tell, given),
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=spec.shutdown_seconds,
            server_header=False,
        )
        _introduce(spec, listener.getsockname()[1], models, tell, given)
        with _stoppable(), _cut_answers_told(spec.shutdown_seconds, tell):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def _check_names(models: Sequence[ChatModel]) -> None:
    names = [model.name for model in models]
    if not names:
        raise ServeError("there is no model to serve", where="key models", mend="release one, or give --model ID")
    double = next((name for name in names if names.count(name) > 1), None)
    if double is not None:
        raise ServeError(
            f"two models are called {double!r}",
            where="key models",
            mend="name each model once, or serve them from two servers",
        )


def _introduce(spec: ServeSpec, port: int, models: Sequence[ChatModel], tell: Tell, given: Given) -> None:
    url = reached_at(spec.host, port)
    for model in models:
        drawn = ", ".join(f"{key} {value:g}" for key, value in model.defaults.items() if isinstance(value, int | float))
        tell(Said(f"serving {model.name} at {url}"))
        if drawn:
            tell(
                Said(
                    f"unless a request says otherwise: {drawn} (generation_config.json; greedy where it does not draw)"
                )
            )
    tell(Said(f"at most {spec.max_tokens or 'as many as fit'} new tokens, unless a request says otherwise"))
    body = {"model": models[0].name, "messages": [{"role": "user", "content": "Hello"}]}
    has_keys = spec.api_keys or spec.admin_keys or (given.keys and KeyFile(given.keys).known())
    key = " -H 'Authorization: Bearer KEY'" if has_keys else ""
    tell(Said(f"ask it:  curl {url}/chat/completions{key} -d '{json.dumps(body)}'"))
    tell(Said(f"or look: {url.removesuffix('/v1')}/"))
    tell(Said("stop it: Ctrl-C"))


@contextmanager
def _stoppable() -> Iterator[None]:
    """uvicorn passes a signal on once it has shut down; here that is the end of serving, not of the program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: None) for kind in kinds]
    try:
        yield
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def _cut_answers_told(seconds: int, tell: Tell) -> Iterator[None]:
    """uvicorn prints the trace of every answer which the end of serving cuts off; here that is one warning."""

    def keep(record: logging.LogRecord) -> bool:
        if record.exc_info and isinstance(record.exc_info[1], CancelledError):
            return False
        if record.msg.startswith("Cancel %s running"):
            tell(Warned(f"running answers were cut off after {seconds} s", "raise shutdown_seconds to let them end"))
            return False
        return True

    log = logging.getLogger("uvicorn.error")
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)
