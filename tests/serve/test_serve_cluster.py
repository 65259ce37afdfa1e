"""A cluster's settings in Ray's words, and what is refused before anything is started."""

import sys
from typing import Any

import pytest

from luthier.errors import ServeError, SpecError, ToolError
from luthier.event import Event, Warned, hush
from luthier.serve.cluster import options, serve_on_cluster, warn_of_own_counts
from luthier.serve.spec import ServeSpec


def never() -> Any:
    raise AssertionError("nothing is opened here")


def test_a_fixed_number_of_servers_is_placed_by_what_each_takes() -> None:
    spec = ServeSpec.model_validate(
        {
            "shutdown_seconds": 9,
            "cluster": {"replicas": 3, "gpus": 0.5, "resources": {"a100": 1}, "replicas_per_node": 2},
        }
    )
    given = options(spec)
    assert given["num_replicas"] == 3
    assert given["ray_actor_options"] == {"num_cpus": 1.0, "num_gpus": 0.5, "resources": {"a100": 1.0}}
    assert (given["max_replicas_per_node"], given["graceful_shutdown_timeout_s"]) == (2, 9.0)
    assert given["max_ongoing_requests"] > spec.waiting  # who waits is the gateway's to say
    assert "autoscaling_config" not in given


def test_servers_come_and_go_between_bounds() -> None:
    spec = ServeSpec.model_validate({"cluster": {"replicas": 2, "most_replicas": 5, "open_requests": 12}})
    scaling = options(spec)["autoscaling_config"]
    assert (scaling["min_replicas"], scaling["max_replicas"], scaling["target_ongoing_requests"]) == (2, 5, 12.0)
    assert "num_replicas" not in options(spec)


@pytest.mark.parametrize(
    ("settings", "kind", "what", "where"),
    [
        ({"host": "0.0.0.0"}, ServeError, "everybody who reaches", "key host"),
        (
            {"cluster": {"replicas": 3, "most_replicas": 2}},
            SpecError,
            "most_replicas is 2",
            "key cluster.most_replicas",
        ),
        ({}, ToolError, "Ray is not installed", "--cluster ray"),
    ],
    ids=["no key", "fewer than the fewest", "no Ray"],
)
def test_what_cannot_be_is_refused_before_anything_starts(
    settings: dict[str, Any], kind: type[Exception], what: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(kind, match=what) as caught:
        serve_on_cluster(ServeSpec.model_validate(settings), never, None, hush)
    assert getattr(caught.value, "where", "") == where
    assert getattr(caught.value, "mend", "")


def test_several_servers_that_count_apart_are_told(told: list[Event]) -> None:
    several = {"rates": {"requests_per_minute": 5}, "cluster": {"replicas": 2}}
    warn_of_own_counts(ServeSpec.model_validate(several), told.append)
    shared = {**several, "rates": {"requests_per_minute": 5, "storage": "redis://counts:6379"}}
    warn_of_own_counts(ServeSpec.model_validate(shared), told.append)
    [warned] = [event for event in told if isinstance(event, Warned)]
    assert (warned.what, "redis://" in warned.mend) == (
        "each of 2 servers counts the requests of a key for itself",
        True,
    )
