"""The combinations of back-ends of `polytope-deployment/config/`, as running deployments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

ROOT = Path(__file__).parents[2]
#: The tests for any deployment. Named, because it takes longer to read all others than to run these.
SUITE = Path(__file__).with_name("test_deployment.py")
TRIAL = ROOT / "polytope-deployment" / "config" / "trial.yaml"
NOTHING = {"authentication": {}, "datasources": {}, "collections": {}}


@pytest.mark.parametrize("name", ["mongodb-rabbitmq-s3-redis", "postgresql-rabbitmq-objectstore-memcached"])
def test_the_suite_passes_against_a_running_deployment(name: str, stacks: Stacks, tmp_path: Path) -> None:
    server = stacks.server(name, tmp_path / "data", NOTHING)
    server.use(TRIAL)
    with server:
        files = [part for file in server.files for part in ("--config", str(file))]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", SUITE, "-q", "-p", "no:cacheprovider", *files],
            cwd=ROOT,
            env=server.environment,
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )
        assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
        assert " passed" in done.stdout
