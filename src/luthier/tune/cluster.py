"""A run on a Ray cluster: Ray Train places the workers and lets them meet; what they do is what workers do anywhere."""

import json
import time
from collections.abc import Mapping
from typing import Any

from luthier.errors import LuthierError, ToolError
from luthier.event import Chose, Event, Tell, from_json, hush, to_json
from luthier.tune.job import Job, Place, work_on

LOCAL = "local"
"""The address of a cluster that is made of this machine, for this run."""


def run_on_ray(job: Job, count: int, address: str, tell: Tell) -> Mapping[str, Any]:
    """Run a job in `count` workers of a Ray cluster. Gives the figures of its card.

    `address` is `local`, or a cluster's (`ray://host:10001`, `host:6379`), whose machines have Luthier installed and
    share the disk the project lies on. Raises ToolError without ray, or if the cluster cannot be reached.
    """
    try:
        import ray
        from ray.util.queue import Queue
    except ImportError:
        raise ToolError(
            "a cluster needs Ray, which is not installed",
            where="--cluster",
            mend="pip install 'luthier[ray]', or use --processes on this machine",
        ) from None
    try:
        ray.init(address=None if address == LOCAL else address, log_to_driver=False, include_dashboard=False)
    except Exception as error:  # Ray raises ConnectionError, ValueError, RuntimeError and its own, by its version
        raise ToolError(
            f"the Ray cluster cannot be reached: {str(error).splitlines()[0]}",
            where=f"--cluster {address}",
            mend="see that `ray status` finds it, or take --cluster local",
        ) from error
    try:
        tell(Chose("cluster", f"{count} workers of {address}", "--cluster: Ray Train places them"))
        inbox: Any = Queue()
        try:
            return _listen(_submit(job, count, inbox), inbox, tell)
        finally:
            inbox.shutdown(force=True)
    finally:
        ray.shutdown()


def _submit(job: Job, count: int, inbox: Any) -> Any:
    """Start the trainer in a task of its own, so that events are read while it runs."""
    import ray

    @ray.remote(num_cpus=0)  # type: ignore[untyped-decorator]
    def fit(text: str, inbox: Any) -> None:
        from ray.train import ScalingConfig
        from ray.train.torch import TorchConfig, TorchTrainer

        from luthier.tune.job import from_json

        uses_gpu = from_json(text).device == "cuda"
        TorchTrainer(
            _work,
            train_loop_config={"job": text, "inbox": inbox},
            scaling_config=ScalingConfig(num_workers=count, use_gpu=uses_gpu),
            torch_config=TorchConfig(backend="cpu:gloo,cuda:nccl" if uses_gpu else "gloo"),
        ).fit()

    return fit.remote(job.to_json(), inbox)


def _work(given: Mapping[str, Any]) -> None:
    """One worker, in a process that Ray made: Ray has let the workers meet already."""
    from ray import train

    from luthier.learn.distributed import Processes
    from luthier.tune.job import from_json

    seen = train.get_context()
    place = Place(seen.get_world_rank(), seen.get_world_size(), seen.get_local_rank())
    inbox = given["inbox"]

    def tell(event: Event) -> None:
        inbox.put(to_json(event, time.time()))

    processes = Processes(place.rank, place.size)
    try:
        figures = work_on(from_json(given["job"]), place, processes, tell if place.rank == 0 else hush)
    except LuthierError as error:
        inbox.put(json.dumps({"error": [error.what, error.where, error.mend]}))
        raise
    if place.rank == 0:
        inbox.put(json.dumps({"figures": figures}))


def _listen(running: Any, inbox: Any, tell: Tell) -> Mapping[str, Any]:
    import ray
    from ray.util.queue import Empty

    figures: Mapping[str, Any] | None = None
    while True:
        ended, _ = ray.wait([running], timeout=0)
        try:
            message = inbox.get(timeout=0.5)
        except Empty:
            if ended:
                break
            continue
        said = json.loads(message)
        if "event" in said:
            tell(from_json(message))
        elif "error" in said:
            what, where, mend = said["error"]
            raise ToolError(what, where=where, mend=mend)
        else:
            figures = said["figures"]
    try:
        ray.get(running)
    except Exception as error:  # a task's error, wrapped by Ray in one of several of its own
        last = [line for line in str(error).splitlines() if line.strip()][-1]
        raise ToolError(
            f"a worker of the cluster failed: {last}",
            where="--cluster",
            mend="see Ray's logs; the same command goes on from the newest checkpoint",
        ) from error
    if figures is None:
        raise ToolError("the cluster's workers ended and said nothing", where="--cluster", mend="see Ray's logs")
    return figures
