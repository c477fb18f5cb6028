"""Two servers that are data sources of each other: retrievals, archives, revocations, circles."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import psutil
import pytest
from caller import Caller
from gate import Gate
from two_servers import SECRET, configure, federated, pair, running

from polytope_server.datasource import GRIB, DataSource, Job
from polytope_server.datasource.federated import FederatedDataSource, FederatedSettings
from polytope_server.testing.datasource import DataSourceContract, job
from testbed.server import StandaloneServer
from testbed.waiting import until

Servers = tuple[StandaloneServer, StandaloneServer]


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, gate: Gate) -> Iterator[Servers]:
    here, there = pair(tmp_path_factory.mktemp("servers"))
    worker = {"worker": {"concurrency": 2, "max_attempts": 2, "retry_delay": 0.05}}
    gated = {"type": "http", "url": gate.url, "timeout": 120, "archive": True}
    configure(
        here,
        {
            "echoes": federated(there, "echo"),
            "dummies": federated(there, "dummy"),
            "failing": federated(there, "raise"),
            "gated": federated(there, "gated"),
            "absent": federated(there, "absent"),
            "circle": federated(there, "circle"),
            "stranger": federated(there, "echo", secret="not-the-one-of-the-peer"),
            "patched": {**federated(there, "echo"), "match": {"class": ["od"]}, "patch": {"expver": "0001"}},
        },
        **worker,
    )
    configure(
        there,
        {"gated": gated, "circle": federated(here, "circle"), "back": federated(here, "echo")},
        **worker,
    )
    there.config["frontend"]["max_upload"] = 5_000_000
    with running(here, there):
        yield here, there


@pytest.fixture
def here(servers: Servers) -> Caller:
    return Caller(servers[0])


@pytest.fixture
def there(servers: Servers) -> Caller:
    return Caller(servers[1])


def listed(caller: Caller) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = caller.get("/requests").json()["message"]
    return documents


def result(caller: Caller, collection: str, request: Any) -> bytes:
    return caller.get(caller.link(collection, request)).content


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, servers: Servers) -> DataSource:
        settings = federated(servers[1], "dummy")
        del settings["type"]
        return FederatedDataSource("there", FederatedSettings(**settings))

    @pytest.fixture
    def good(self) -> Job:
        return as_alice(job("3000000"))

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        return b"x" * 3_000_000, GRIB

    @pytest.fixture
    def bad(self) -> Job:
        return as_alice(job("many"))

    @pytest.fixture
    def archive_job(self) -> Job:
        return as_alice(job({"class": "od"}, verb="archive"))

    # The dummy does not archive; what does is below.
    def test_it_archives_or_says_that_it_does_not(
        self, servers: Servers, archive_job: Job, archive_data: list[bytes]
    ) -> None:
        settings = federated(servers[1], "gated")
        del settings["type"]
        source = FederatedDataSource("there", FederatedSettings(**settings))
        source.archive(archive_job, iter(archive_data))


def as_alice(found: Job) -> Job:
    """The same job for a user of the realm for which the peer lets others act, as a request of its own."""
    return replace(found, request_id=str(uuid4()), username="alice", realm="test")


def test_a_result_is_passed_on_in_both_directions(here: Caller, there: Caller) -> None:
    assert result(here, "dummies", "2500000") == b"x" * 2_500_000
    assert json.loads(result(there, "back", {"class": "od"})) == {"class": "od"}


@pytest.mark.parametrize(
    "request_",
    [
        "some text",
        "class: od\ndate: 20240101/to/20240105",
        {"class": "od", "param": ["2t", "msl"], "number": 1, "levelist": [500, 850]},
        {
            "where": [{"station": "x, 'y'"}, [1, 2.5, None]],
            "filter": "a = 'b, c'",
            "more": {"b": [True, "ü€"]},
        },
        {"data": "class: od"},
    ],
    ids=str,
)
def test_the_other_servers_data_source_gets_the_same_request(
    here: Caller, there: Caller, request_: Any
) -> None:
    assert result(here, "gated", request_) == result(there, "gated", request_)


def test_what_is_patched_here_is_what_the_other_server_gets(here: Caller) -> None:
    assert json.loads(result(here, "patched", {"class": "od"})) == {"class": "od", "expver": "0001"}


def test_the_request_there_is_that_of_the_same_user(here: Caller, there: Caller, gate: Gate) -> None:
    request_id = here.submit("gated", "hold for alice")
    gate.wait_for("hold for alice")
    (found,) = [one for one in listed(there) if one["user_request"] == "hold for alice"]
    assert (found["user"]["username"], found["user"]["realm"]) == ("alice", "test")
    assert not [one for one in listed(Caller(there.server, "bob")) if one["id"] == found["id"]]
    until(lambda: "processing" in here.poll(request_id, "wait=0").json()["message"])
    gate.release("hold for alice")
    assert here.end_of(request_id).status_code == 303


def test_after_success_nothing_is_left_there(here: Caller, there: Caller) -> None:
    result(here, "dummies", "1234")
    until(lambda: "1234" not in [one["user_request"] for one in listed(there)])


def test_a_failure_there_is_the_users_failure(here: Caller) -> None:
    ended = here.end_of(here.submit("failing", {"a": "b"}))
    assert (ended.status_code, ended.json()["message"]) == (
        400,
        "Request failed with error:\nthis data source always fails",
    )


@pytest.mark.parametrize(
    ("collection", "message"),
    [
        ("absent", "Unsupported collection type: absent"),
        ("stranger", "stranger does not let this server act for users of the realm 'test'"),
    ],
)
def test_a_refusal_there_is_the_users_failure(here: Caller, collection: str, message: str) -> None:
    ended = here.end_of(here.submit(collection, {"a": "b"}))
    assert ended.status_code == 400
    assert message in ended.json()["message"]


def test_a_feature_goes_to_the_other_server(here: Caller) -> None:
    # Which has no data source for one: a server that has is in test_federated_features.py
    ended = here.end_of(here.submit("echoes", {"class": "od", "feature": {"type": "timeseries"}}))
    assert "the data source does not accept the key 'feature'" in ended.json()["message"]


def test_an_archive_is_passed_on(here: Caller, gate: Gate) -> None:
    data = b"hold an upload " + bytes(3_000_000)
    request_id = here.archive("gated", data, hashlib.md5(data).hexdigest())
    text = data.decode("latin-1")
    gate.wait_for(text)
    gate.release(text)
    ended = here.end_of(request_id)
    assert (ended.status_code, ended.json()["status"]) == (200, "processed")


def test_an_upload_that_is_too_large_there_is_the_users_failure(here: Caller) -> None:
    data = bytes(8_000_000)
    ended = here.end_of(here.archive("gated", data, hashlib.md5(data).hexdigest()))
    assert ended.status_code == 400
    assert "The upload is larger than 5000000 bytes" in ended.json()["message"]


def test_a_revocation_here_is_one_there(here: Caller, there: Caller, gate: Gate) -> None:
    request_id = here.submit("gated", "hold to be revoked")
    gate.wait_for("hold to be revoked")
    assert here.delete(f"/requests/{request_id}").status_code == 200
    until(lambda: "hold to be revoked" not in [one["user_request"] for one in listed(there)])
    gate.release("hold to be revoked")


def test_of_a_child_that_was_killed_nothing_is_left_there(here: Caller, there: Caller, gate: Gate) -> None:
    # Given a request in progress there
    request_id = here.submit("gated", "hold to be killed")
    gate.wait_for("hold to be killed")
    (before,) = [one["id"] for one in listed(there) if one["user_request"] == "hold to be killed"]
    busy = [one for one in here.server.processes("data source") if has_guard(one)]
    # When the child that waits for it is killed
    assert busy
    for child in busy:
        child.kill()
    # Then that request is removed there, and the next attempt ends well
    gate.release("hold to be killed")
    assert here.end_of(request_id).status_code == 303
    until(lambda: before not in [one["id"] for one in listed(there)])
    until(lambda: not [one for one in here.server.all_processes() if "guard" in " ".join(title(one))])
    # And no process that has ended waits to be asked how
    assert psutil.STATUS_ZOMBIE not in [status(one) for one in here.server.all_processes()]


def has_guard(child: psutil.Process) -> bool:
    return any("guard" in " ".join(title(one)) for one in child.children())


def title(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.NoSuchProcess:
        return []


def status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return "gone"


def test_servers_that_ask_each_other_in_a_circle_say_so(here: Caller, there: Caller) -> None:
    for caller in (here, there):
        ended = caller.end_of(caller.submit("circle", {"class": "od"}))
        assert ended.status_code == 400
        assert "the servers ask each other in a circle" in ended.json()["message"]


def test_the_secret_is_in_no_log(here: Caller, there: Caller) -> None:
    result(here, "echoes", "x")
    assert SECRET not in here.server.log.read_text() + there.server.log.read_text()
