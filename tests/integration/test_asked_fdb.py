"""A frontend on a machine without the FDB learns from a worker what is in it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from asking import WAIT, Door, collection
from fdb_fields import LABEL, message
from fleet import Fleet

from polytope_demonstration import fdb as demo
from testbed.server import StandaloneServer, free_port
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured

REQUEST = {**LABEL, "levtype": "sfc", "param": "2t"}
NO_LIBRARY = 'raise ImportError("this machine has no FDB")\n'


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """A server with an empty FDB."""
    root = tmp_path / "fdb"
    root.mkdir()
    (root / "schema").write_text(Path(demo.__file__).with_name("schema").read_text())
    sections = collection("fdb", type="fdb", fdb_config=demo.configuration(root), check_available=True)
    sections["frontend"]["management"] = {"port": free_port()}
    with Fleet(StandaloneServer(tmp_path / "data", sections)) as made:
        yield made


def loaded_libraries(process: psutil.Process) -> set[str]:
    """Names of the native libraries that a process and those below it have loaded."""
    maps = [Path(f"/proc/{one.pid}/maps").read_text() for one in (process, *process.children(recursive=True))]
    return {Path(line.split()[-1]).name for text in maps for line in text.splitlines() if ".so" in line}


def test_a_frontend_without_the_fdb_refuses_what_is_not_in_it(fleet: Fleet, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.mkdir()
    for name in ("pyfdb", "eccodes", "findlibs"):
        (without / f"{name}.py").write_text(NO_LIBRARY)
    frontend = fleet.start("frontend", clock={"PYTHONPATH": str(without)})
    fleet.start("broker")
    worker = fleet.start("worker")
    fleet.wait()
    door = Door(fleet.server, "fdb")
    door.archive(LABEL, message("2t", 0))
    until(lambda: door.refuses({**REQUEST, "step": "0/6"}))
    answer = door.submit({**REQUEST, "step": "0/6"})
    assert answer.status_code == 400
    assert "1 of 2 fields are not available: step=6" in answer.json()["message"]
    accepted = door.submit({**REQUEST, "step": 0})
    assert accepted.status_code == 202
    # The check again, in the worker, and the data.
    assert fleet.server.result(door.session, accepted.json()["id"]) == message("2t", 0)
    until(lambda: _contents(fleet, door) is not None)
    assert _contents(fleet, door)["step"] == {"count": 1, "values": ["0"]}
    found = loaded_libraries(psutil.Process(frontend.pid))
    assert found
    assert not [name for name in found if name.startswith(("libfdb", "libeccodes", "libeckit", "libmetkit"))]
    _kill_and_replace(fleet, worker, door)


def _contents(fleet: Fleet, door: Door) -> Any:
    """What the description of the collection says of the contents of the FDB."""
    answer = door.session.get(f"{fleet.server.url}/collections/fdb")
    return answer.json()["datasources"][0]["contents"]


def _kill_and_replace(fleet: Fleet, worker: Any, door: Door) -> None:
    """Without its worker a frontend accepts, after one wait at most; with the next one it refuses again."""
    worker.kill()
    worker.wait()
    began = time.monotonic()
    for step in (12, 18, 24):
        assert door.submit({**REQUEST, "step": step}).status_code == 202
    assert time.monotonic() - began < 2 * WAIT
    fleet.start("worker")
    until(lambda: door.refuses({**REQUEST, "step": 30}))
    port = fleet.server.config["frontend"]["management"]["port"]
    metrics = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text
    counts = {line.split()[0]: float(line.split()[1]) for line in metrics.splitlines() if line[0] != "#"}
    for outcome in ("answered", "unanswered", "skipped"):
        assert counts[f'polytope_questions_total{{collection="fdb",outcome="{outcome}"}}'] >= 1
