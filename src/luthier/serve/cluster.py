"""The same gateway on many machines: each replica of a Ray Serve deployment is a whole server with its own models."""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from luthier.engine.ports import ChatModel
from luthier.errors import ServeError, SpecError, ToolError
from luthier.event import Said, Tell, Warned
from luthier.serve.door import check_door, listen, reached_at
from luthier.serve.given import Given
from luthier.serve.spec import ServeSpec

APP = "luthier"
BEYOND_THE_LINE = 64
"""Requests a server is handed beyond those that may wait in it: it is the gateway that says no, with a Retry-After."""

Opening = Callable[[], tuple[Sequence[ChatModel], Given, Tell]]
"""Opens on the machine of a replica what it serves; it is sent there, so it holds nothing but plain values."""


def serve_on_cluster(spec: ServeSpec, opening: Opening, keys: Path | None, tell: Tell) -> None:
    """Serve on a Ray cluster until SIGINT or SIGTERM; tells the address once it can be asked.

    Raises ToolError without Ray, ServeError if the cluster or the address cannot be had, if others could ask without a
    key, or if no server comes up.
    """
    check_door(spec, keys)
    _check(spec)
    warn_of_own_counts(spec, tell)
    with listen(spec.host, spec.port) as listener:  # a port in use is told before anything else
        port = int(listener.getsockname()[1])
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray
    from ray import serve

    is_own = spec.cluster.address is None
    _connect(ray, spec.cluster.address)
    try:
        serve.start(proxy_location="EveryNode", http_options={"host": spec.host, "port": port})
        try:
            serve.run(deployment(spec, opening).bind(), name=APP, route_prefix="/")
        except RuntimeError as error:
            raise ServeError(
                f"no server came up: {str(error).strip().splitlines()[-1]}",
                where="the cluster",
                mend="see its logs (/tmp/ray/session_latest/logs/serve), and mend what they name",
            ) from error
        tell(Said(f"serving by {_many(spec)} at {reached_at(spec.host, port)}"))
        tell(Said("stop it: Ctrl-C"))
        _wait()
    finally:
        with suppress(Exception):  # the cluster may be gone: there is nothing to take away then
            serve.delete(APP)
            if is_own:
                serve.shutdown()
        ray.shutdown()


def deployment(spec: ServeSpec, opening: Opening) -> Any:
    """Give the Ray Serve deployment of whole servers."""
    from ray import serve

    def build() -> Any:
        from luthier.serve.app import build_app

        models, given, tell = opening()
        return build_app(spec, models, tell, given)

    class Server:
        """A whole server: the gateway and its models."""

        async def check_health(self) -> None:
            """Raise unless every engine makes tokens: Ray puts another server in the place of this one then."""
            from luthier.serve.health import ready

            is_well, state = await ready(self.app.state.gateway)  # type: ignore[attr-defined]
            if not is_well:
                raise RuntimeError(f"not ready: {state}")

    return serve.deployment(serve.ingress(build)(Server)).options(**options(spec))


def options(spec: ServeSpec) -> dict[str, Any]:
    """Give a deployment's options in Ray's words."""
    cluster = spec.cluster
    given: dict[str, Any] = {
        "name": APP,
        "ray_actor_options": {
            "num_cpus": cluster.cpus,
            "num_gpus": cluster.gpus,
            "resources": dict(cluster.resources),
        },
        "max_ongoing_requests": spec.waiting + BEYOND_THE_LINE,
        "graceful_shutdown_timeout_s": float(spec.shutdown_seconds),
        "health_check_period_s": cluster.health_seconds,
    }
    if cluster.replicas_per_node is not None:
        given["max_replicas_per_node"] = cluster.replicas_per_node
    if cluster.most_replicas is None:
        return given | {"num_replicas": cluster.replicas}
    scaling = {
        "min_replicas": cluster.replicas,
        "max_replicas": cluster.most_replicas,
        "target_ongoing_requests": cluster.open_requests,
        "upscale_delay_s": cluster.up_seconds,
        "downscale_delay_s": cluster.down_seconds,
    }
    return given | {"autoscaling_config": scaling}


def _check(spec: ServeSpec) -> None:
    cluster = spec.cluster
    if cluster.most_replicas is not None and cluster.most_replicas < cluster.replicas:
        raise SpecError(
            f"most_replicas is {cluster.most_replicas}, replicas is {cluster.replicas}",
            where="key cluster.most_replicas",
            mend=f"give at least {cluster.replicas}, or leave it out",
        )
    if find_spec("ray") is None or find_spec("ray.serve") is None:
        raise ToolError("Ray is not installed", where="--cluster ray", mend="pip install 'luthier[ray]'")


def _connect(ray: Any, address: str | None) -> None:
    try:
        if address is None:
            ray.init(include_dashboard=False, log_to_driver=True)
        else:
            ray.init(address=address, log_to_driver=True)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ServeError(
            f"there is no Ray cluster at {address!r}: {str(error).strip().splitlines()[0]}",
            where="key cluster.address",
            mend="give the address `ray start --head` told, or leave it out: one is started here",
        ) from error


def _many(spec: ServeSpec) -> str:
    least, most = spec.cluster.replicas, spec.cluster.most_replicas
    return f"{least} to {most} servers" if most else f"{least} server{'s' * (least > 1)}"


def _wait() -> None:
    """Wait for SIGINT or SIGTERM."""
    stopped = threading.Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: stopped.set()) for kind in kinds]
    try:
        while not stopped.wait(1.0):
            pass
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


def warn_of_own_counts(spec: ServeSpec, tell: Tell) -> None:
    """Tell that bounds are counted by each server for itself, where there are several and nothing they share."""
    bounds = (spec.rates.requests_per_minute, spec.rates.tokens_per_minute)
    servers = spec.cluster.most_replicas or spec.cluster.replicas
    if any(bounds) and servers > 1 and spec.rates.storage.startswith("memory"):
        what = f"each of {servers} servers counts the requests of a key for itself"
        tell(Warned(what, "set rates.storage=redis://host:port, which counts for all of them together"))
