"""Processes of the version before and of this one on one store: nothing fails, nothing is fetched twice.

Of the version before the code comes out of the history of this repository.
"""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from faults import FULL, CountingSource
from fleet import Batch, Fleet, config

from testbed.server import StandaloneServer

if TYPE_CHECKING:
    from conftest import Stacks

pytestmark = pytest.mark.unmeasured

#: The last commit whose leases went by the clocks of the machines.
BEFORE = "4d5976e"
REPOSITORY = Path(__file__).parents[2]
LEASE, WORK = 6.0, 8.0
#: Which broker leads first, and the back-ends.
SQLITE, MONGODB = "sqlite", "mongodb-rabbitmq-s3-redis"
SHORT = [("old", SQLITE), ("new", MONGODB)]
CASES = [*SHORT, ("new", SQLITE), ("old", MONGODB)] if FULL else SHORT


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the code of the version before."""
    command = ["git", "-C", str(REPOSITORY), "archive", BEFORE, "polytope_server"]
    try:
        done = subprocess.run(command, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"cannot be had: commit {BEFORE}, in a copy without the history of the repository")
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.mark.parametrize(("first", "stack"), CASES)
def test_old_and_new_processes_work_together(
    stacks: Stacks, tmp_path: Path, before: Path, stack: str, first: str
) -> None:
    """Workers of both, frontends of both, and a broker of one, which hands over to one of the other."""
    with CountingSource(WORK).serving() as source:
        data, sections = tmp_path / "data", config(source, LEASE)
        # The version before refuses a key that it does not know: configurations change last.
        del sections["worker"]["max_lost_leases"]
        alone = stack == SQLITE
        server = StandaloneServer(data, sections) if alone else stacks.server(stack, data, sections)
        other = StandaloneServer(data / "other", sections)
        with Fleet(server) as fleet:
            port = tmp_path / "port.yaml"
            port.write_text(yaml.safe_dump({"frontend": {"port": other.port}}))
            versions = {"old": before, "new": None}
            leading = fleet.start("broker", code=versions.pop(first))
            fleet.start("frontend")
            fleet.start("frontend", code=before, files=[port])
            fleet.start("worker")
            fleet.start("worker", code=before)
            (second,) = versions.values()
            fleet.wait()
            fleet.wait(other)
            batch = Batch(server, source)
            batch.submit(4)
            batch.submit(4, other)
            batch.run()
            fleet.start("broker", code=second)
            leading.terminate()
            batch.submit(4)
            batch.submit(4, other)
            batch.check()
            assert "the lease of worker" not in fleet.log()
