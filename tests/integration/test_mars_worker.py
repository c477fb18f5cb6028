"""The data source mars in a worker: what users read, and that nothing is left of requests that are ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mars_client import ERRORS, FIELD, MARSClient
from web_api import DATA, EMAIL, KEY, WebAPIServer

from testbed.server import PASSWORD, USER, StandaloneServer
from testbed.waiting import until

pytestmark = pytest.mark.unmeasured

FLAT = {"class": "od", "param": "2t"}
ATTRIBUTES = {"ecmwf-email": EMAIL, "ecmwf-apikey": KEY}
PLAIN = {
    "type": "plain",
    "clear_text": True,
    "users": [{"uid": USER, "password": PASSWORD, "attributes": ATTRIBUTES}],
}


class Site:
    """A server with MARS, and one user."""

    def __init__(
        self, server: StandaloneServer, client: MARSClient, folder: Path, service: WebAPIServer
    ) -> None:
        self.server = server
        self.service = service
        self.client = client
        self.folder = folder
        self.session = server.session()

    def submit(self, method: str, collection: str = "mars", **keys: str) -> str:
        return self.server.submit(self.session, collection, {**FLAT, "method": method, **keys})

    def end(self, request_id: str) -> Any:
        return self.server.poll(self.session, request_id)

    def started(self, processes: int) -> None:
        """Wait until the client runs, with what it starts."""
        until(lambda: len(self.client.running()) == processes)

    def message(self, request_id: str) -> str:
        answer = self.session.get(f"{self.server.url}/requests/{request_id}", allow_redirects=False)
        return str(answer.json().get("message"))

    def revoke(self, request_id: str) -> None:
        assert self.session.delete(f"{self.server.url}/requests/{request_id}").status_code == 200

    def is_clean(self) -> bool:
        return not self.client.running() and not list(self.folder.iterdir())


@pytest.fixture(scope="module")
def service() -> Iterator[WebAPIServer]:
    with WebAPIServer().serving() as service:
        yield service


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory, service: WebAPIServer) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("mars")
    client, temporary = MARSClient(folder), folder / "tmp"
    temporary.mkdir()
    source = {"type": "mars", "command": str(client.path), "tmp_dir": str(temporary), "max_attempts": 1}
    config = {
        "frontend": {"poll_wait": 1},
        "authentication": {"test": {"authenticators": {"plain": PLAIN}, "authorizers": {}}},
        "datasources": {"mars": source, "web": {"type": "webmars", "url": service.url}},
        "collections": {
            name: {"roles": {"test": ["default"]}, "datasources": [name]} for name in ("mars", "web")
        },
    }
    server = StandaloneServer(tmp_path_factory.mktemp("server"), config, variables=client.variables)
    with server:
        site = Site(server, client, temporary, service)
        yield site
        client.forget()
        site.submit("stubborn")
        site.started(2)
        server.kill()
        until(site.is_clean)


@pytest.fixture
def site(everything: Site) -> Iterator[Site]:
    everything.client.forget()
    yield everything
    until(everything.is_clean)


def test_a_user_gets_the_data(site: Site) -> None:
    request_id = site.submit("good", target="mine.grib")
    assert site.server.result(site.session, request_id) == FIELD + FIELD


def test_a_user_reads_the_lines_of_errors(site: Site) -> None:
    answer = site.end(site.submit("fails"))
    assert answer.status_code == 400
    expected = ["MARS retrieval failed unexpectedly with error code 7", *ERRORS]
    assert answer.json()["message"].endswith("\n".join(expected))


def test_a_user_sees_what_the_client_does(site: Site) -> None:
    request_id = site.submit("hangs")
    until(lambda: "Requesting 2 fields" in site.message(request_id))
    site.revoke(request_id)


def test_the_client_is_given_the_sealed_credentials_of_the_user(site: Site) -> None:
    request_id = site.submit("environment")
    _, variables, _ = json.loads(site.server.result(site.session, request_id))
    assert variables["MARS_USER_EMAIL"] == ATTRIBUTES["ecmwf-email"]
    assert variables["MARS_USER_TOKEN"] == ATTRIBUTES["ecmwf-apikey"]
    assert ATTRIBUTES["ecmwf-apikey"] not in site.server.log.read_text()


def test_no_data_are_a_result_where_the_request_says_so(site: Site) -> None:
    request_id = site.submit("nothing", expect="any")
    assert site.server.result(site.session, request_id) == b""


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({**FLAT, "levtyp": {"a": 1}}, "key 'levtype': {'a': 1}"),
        ({**FLAT, "clas": "rd"}, "key 'clas' is not one of"),
        ({**FLAT, "source": "/etc/passwd"}, "key 'source' is not accepted"),
        ({**FLAT, "filter": "a\nb"}, "key 'filter'"),
        ({**FLAT, "levelist": None}, "key 'levelist'"),
        ("no request", "the request is a text without keys"),
    ],
)
def test_what_mars_cannot_take_is_refused_at_the_door(site: Site, request_: object, named: str) -> None:
    body = {"verb": "retrieve", "request": request_}
    answer = site.session.post(f"{site.server.url}/requests/mars", json=body)
    assert answer.status_code == 400
    assert named in answer.json()["message"]


@pytest.mark.parametrize(("method", "processes"), [("streams", 1), ("stubborn", 2)])
class TestEnds:
    def test_by_its_user(self, site: Site, method: str, processes: int) -> None:
        request_id = site.submit(method)
        site.started(processes)
        site.revoke(request_id)
        until(site.is_clean)

    def test_of_the_process_of_the_data_source(self, site: Site, method: str, processes: int) -> None:
        request_id = site.submit(method)
        site.started(processes)
        for process in site.server.processes("data source"):
            process.kill()
        answer = site.end(request_id)
        assert (answer.status_code, "ended unexpectedly" in answer.text) == (400, True)
        until(site.is_clean)

    def test_of_the_client(self, site: Site, method: str, processes: int) -> None:
        request_id = site.submit(method)
        site.started(processes)
        # What it has started is in a session that another process began.
        (client,) = [pid for pid in site.client.running() if os.getsid(pid) == pid]
        psutil.Process(client).kill()
        answer = site.end(request_id)
        assert (answer.status_code, "error code -9" in answer.text) == (400, True)
        until(site.is_clean)


def test_of_the_worker(site: Site) -> None:
    request_id = site.submit("stubborn")
    site.started(2)
    before = site.client.running()
    for process in site.server.processes("worker"):
        process.kill()
    until(lambda: not set(before) & set(site.client.running()))
    site.revoke(request_id)


class TestTheWebAPI:
    def test_gives_the_data_to_the_key_of_the_user(self, site: Site) -> None:
        request_id = site.submit("good", "web")
        assert site.server.result(site.session, request_id) == DATA

    def test_is_told_that_a_request_is_revoked(self, site: Site) -> None:
        request_id = site.submit("hangs", "web")
        until(lambda: "active: Requesting 1 field" in site.message(request_id))
        deleted = len(site.service.deleted)
        site.revoke(request_id)
        until(lambda: len(site.service.deleted) > deleted)
        assert "/requests/hangs-" in site.service.deleted[-1]
