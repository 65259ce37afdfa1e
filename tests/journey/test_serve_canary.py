"""A canary from its release to its end by the real commands, under stock clients that see no failed request."""

from pathlib import Path

import pytest
from real_serving import Clients, Project, Server, wait_for

pytestmark = pytest.mark.journey
RUN = ("run", "docs/examples/tiny.yaml", "release.channel=canary")
ALIKE = "release.trial={requests: 12, gate: ['errors.after <= 0', 'agreement.after >= 0']}"
BETTER = "release.trial={requests: 12, gate: ['agreement.after > 1']}"
"""No trial passes this: agreement is at most 1."""


def canary(project: Project) -> str:
    """Give the release that was made last."""
    places = (project.folder / ".luthier" / "artifacts").glob("release-*")
    return max(places, key=lambda place: place.stat().st_mtime).name


def trial(project: Project, server: Server, clients: Clients, *words: str) -> tuple[str, Path]:
    """Release a canary and wait until its traffic is enough; gives its id and the file of exchanges."""
    stable = clients.answers[-1][1].removeprefix("fp_")
    project.luthier(*RUN, *words)
    tried = canary(project)
    wait_for(lambda: f"serving {tried} as canary" in server.said(), 60)
    path = project.folder / "traffic" / f"{stable}--{tried}" / "exchanges.jsonl"
    wait_for(lambda: path.exists() and path.read_text().count("\n") >= 40, 120)
    return tried, path


def test_a_canary_is_tried_judged_and_promoted_or_ended(tmp_path: Path) -> None:
    project = Project(tmp_path)
    [stable] = project.releases("2e-2")
    trials = f"trials=[{{canary: 0.5, shadow: 0.5, folder: {tmp_path / 'traffic'}}}]"
    with project.serving("--dtype", "float32", trials) as server, Clients(server, stable, count=2) as clients:
        clients.wait()
        good, traffic = trial(project, server, clients, "tune.learn.rate=1e-2", ALIKE)
        assert project.luthier("release", "--from", str(traffic)) == good
        wait_for(lambda: f"serving {good} in the place of {stable}" in server.said(), 60)
        clients.wait(8)
        assert {who for _, who, _ in clients.answers[-4:]} == {f"fp_{good}"}
        bad, traffic = trial(project, server, clients, "tune.learn.rate=1.5e-2", BETTER)
        refused = project.fails("release", "--from", str(traffic))
        assert "the gate refuses the canary" in refused
        wait_for(lambda: f"the trial of {bad} has ended" in server.said(), 60)
        clients.wait(8)
        assert {who for _, who, _ in clients.answers[-4:]} == {f"fp_{good}"}
    assert (clients.faults, clients.unreached) == ([], [])
    assert {who for _, who, _ in clients.answers} == {f"fp_{name}" for name in (stable, good, bad)}
