"""Frontends ask workers what only the data can answer, whichever back-end carries the notices."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import psutil
import pytest
from asking import WAIT, Door, collection
from fleet import Fleet

from testbed.server import StandaloneServer
from testbed.services import MongoDB, PostgreSQL, RabbitMQ
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured


def mongodb_section(service: MongoDB) -> dict[str, Any]:
    known = service.variables
    return {
        "uri": known["MONGODB_URI"], "username": known["MONGODB_USERNAME"],
        "password": known["MONGODB_PASSWORD"], "collection": "asked",
    }  # fmt: skip


def rabbitmq_section(service: RabbitMQ) -> dict[str, Any]:
    keys = {"host": service.host, "port": service.port, "user": service.user, "password": service.password}
    return {**keys, "name": "asked"}


def postgresql_section(service: PostgreSQL) -> dict[str, Any]:
    return {"url": service.url}


@pytest.mark.usefixtures("answering")
@pytest.mark.parametrize(
    ("name", "section"),
    [("mongodb", mongodb_section), ("postgresql", postgresql_section), ("rabbitmq", rabbitmq_section)],
)
def test_questions_go_by_the_notices_of_several_machines(
    name: str, section: Callable[[Any], dict[str, Any]], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    notices = {name: section(request.getfixturevalue(name))}
    sections = collection("a", type="answering", door="check") | {"notices": notices}
    with StandaloneServer(tmp_path / "data", sections) as server:
        door, large = Door(server, "a"), "no such page " * 4000
        until(lambda: door.refuses({"problem": "no such page"}))
        answer = door.submit({"problem": large})
        assert (answer.status_code, answer.json()["message"][:12]) == (400, "no such page")
        assert door.submit({"page": "1"}).status_code == 202


@pytest.mark.usefixtures("answering")
def test_a_worker_that_is_killed_while_it_answers_costs_one_wait(
    tmp_path: Path, in_background: Callable[..., Future[Any]]
) -> None:
    sections = collection("a", type="answering", door="hang")
    with Fleet(StandaloneServer(tmp_path / "data", sections)) as fleet:
        for name in ("frontend", "broker"):
            fleet.start(name)
        worker = fleet.start("worker")
        fleet.wait()
        door, marks = Door(fleet.server, "a"), [tmp_path / "first", tmp_path / "second"]
        # The first question that is asked starts the child.
        until(
            lambda: (
                door.submit({"mark": str(marks[0]), "until": str(marks[0])}).status_code == 202
                and marks[0].exists()
            )
        )
        began = time.monotonic()
        submission = in_background(door.submit, {"mark": str(marks[1])})
        until(marks[1].exists)
        children = psutil.Process(worker.pid).children(recursive=True)
        worker.kill()
        worker.wait()
        assert submission.result().status_code == 202
        assert time.monotonic() - began < 2 * WAIT
        assert not psutil.wait_procs(children, timeout=20)[1]
