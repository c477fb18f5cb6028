"""The data source webmars, with a server that speaks ECMWF's Web API; which its own client shows."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ecmwfapi
import pytest
from ecmwfapi.api import APIException
from web_api import CUT, DATA, EMAIL, ERROR, KEY, WebAPIServer

from polytope_server.datasource import GRIB, DataSourceError, Job, TemporaryError
from polytope_server.datasource.webmars import WebMARSDataSource, WebMARSSettings
from polytope_server.datasource.webmars.api import WebAPI
from polytope_server.testing.datasource import DataSourceContract
from testbed.waiting import until

# Each request has a process, which would take longer to be measured than to do its work.
pytestmark = pytest.mark.unmeasured

FLAT = {"class": "od", "param": "2t/10u"}


@pytest.fixture
def elsewhere() -> Iterator[WebAPIServer]:
    with WebAPIServer().serving() as server:
        yield server


@pytest.fixture
def service(elsewhere: WebAPIServer) -> Iterator[WebAPIServer]:
    with WebAPIServer(f"http://127.0.0.1:{elsewhere.server_port}").serving() as server:
        yield server


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between calls, which take no time."""
    found: list[float] = []
    monkeypatch.setattr(WebAPI, "pause", staticmethod(found.append))
    return found


@pytest.fixture
def source(service: WebAPIServer, pauses: list[float]) -> WebMARSDataSource:
    return WebMARSDataSource("webmars", WebMARSSettings(url=service.url))


def ask(method: str, texts: Callable[[str, str], None] = lambda kind, text: None, **keys: Any) -> Job:
    attributes = {"ecmwf-email": EMAIL, "ecmwf-apikey": KEY}
    request = {**FLAT, "method": method, **keys}
    return Job("i", "retrieve", "", request, attributes=attributes, tell=texts)


def read(source: WebMARSDataSource, wanted: Job) -> bytes:
    return b"".join(source.retrieve(wanted).chunks)


class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, source: WebMARSDataSource) -> WebMARSDataSource:
        return source

    @pytest.fixture
    def good(self) -> Job:
        return ask("good")

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        return DATA, GRIB

    @pytest.fixture
    def bad(self) -> Job:
        return ask("failed")


@pytest.mark.parametrize("method", ["good", "other", "busy", "down", "moved", "far", "cut", "norange"])
def test_the_data_come_whole(source: WebMARSDataSource, service: WebAPIServer, method: str) -> None:
    assert read(source, ask(method)) == DATA
    (path,) = service.deleted
    assert path.startswith(f"/v1/services/mars/requests/{method}-")


@pytest.mark.parametrize(
    ("method", "error", "message"),
    [
        ("aborted", DataSourceError, "^webmars failed: no tape\nTape is broken$"),
        ("failed", DataSourceError, f"^webmars failed: {re.escape(ERROR)}\nmars - EROR - no$"),
        ("refused", DataSourceError, f"^webmars failed: {re.escape(ERROR)}\nno such thing$"),
        ("empty", DataSourceError, "^MARS found no data for this request.$"),
        ("overloaded", TemporaryError, "cannot be reached at the moment"),
        ("gone", TemporaryError, "cannot be reached at the moment"),
        ("away", TemporaryError, "cannot be used at the moment"),
        ("foreign", TemporaryError, "cannot be used at the moment"),
        ("mute", TemporaryError, "cannot be used at the moment"),
        ("hollow", TemporaryError, "cannot be reached at the moment"),
        ("formless", TemporaryError, "cannot be used at the moment"),
        ("lost", TemporaryError, "could not be transferred"),
        ("stuck", TemporaryError, "could not be transferred"),
        ("changed", TemporaryError, "could not be transferred"),
        ("elsewhere", TemporaryError, "could not be transferred"),
        ("more", TemporaryError, "could not be transferred"),
        ("less", TemporaryError, "could not be transferred"),
        ("damaged", TemporaryError, "delivered only a part of the data"),
    ],
)
def test_what_fails_is_said_and_nothing_is_left_at_the_service(
    source: WebMARSDataSource, service: WebAPIServer, method: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        read(source, ask(method))
    polled = {path for command, path, _ in service.seen if command == "GET" and "/requests/" in path}
    assert set(service.deleted) == polled


def test_credentials_go_to_no_other_host(
    source: WebMARSDataSource, service: WebAPIServer, elsewhere: WebAPIServer
) -> None:
    read(source, ask("far"))
    for method in ("away", "foreign"):
        with pytest.raises(TemporaryError):
            read(source, ask(method))
    assert [path for _, path, _ in elsewhere.seen] == ["/data/far"]
    assert KEY not in str(elsewhere.seen)
    assert EMAIL not in str(elsewhere.seen)
    assert KEY not in str([headers for _, path, headers in service.seen if path.startswith("/data/")])


def test_a_transfer_goes_on_where_it_was(source: WebMARSDataSource, service: WebAPIServer) -> None:
    read(source, ask("cut"))
    transfers = [headers.get("Range") for _, path, headers in service.seen if path == "/data/cut"]
    assert transfers == [None, f"bytes={CUT}-"]


def test_a_request_is_submitted_as_mars_reads_it(source: WebMARSDataSource, service: WebAPIServer) -> None:
    statement = "select * where x = 'y', target = z"
    read(source, ask("good", grid=0.25, filter=statement, target="mine.grib"))
    (path, request), *_ = service.submitted
    assert path == "/v1/services/mars/requests"
    assert request == {**FLAT, "method": "good", "grid": "0.25", "filter": f'"{statement}"'}


def test_a_request_for_a_data_set_goes_to_its_service(
    source: WebMARSDataSource, service: WebAPIServer
) -> None:
    read(source, ask("good", dataset="tigge"))
    assert service.submitted[0][0] == "/v1/datasets/tigge/requests"


@pytest.mark.parametrize("dataset", ["a/b", "../services", "", ["a", "b"]])
def test_a_data_set_that_is_no_name_is_refused_at_the_door(dataset: object) -> None:
    check = WebMARSDataSource.request_check(WebMARSSettings())
    assert check is not None
    with pytest.raises(DataSourceError, match="key 'dataset'"):
        check({**FLAT, "dataset": dataset}, "retrieve")


def test_messages_and_states_are_passed_on(source: WebMARSDataSource) -> None:
    texts: list[tuple[str, str]] = []
    read(source, ask("good", lambda kind, text: texts.append((kind, text)), target="x"))
    assert texts == [
        ("note", "The key 'target' has no effect: the result is downloaded from this server."),
        ("progress", "queued: Request is queued"),
        ("progress", "active: Request is active"),
        ("progress", "active: Requesting 1 field"),
    ]


def test_pauses_are_those_of_the_service_within_bounds(
    source: WebMARSDataSource, pauses: list[float]
) -> None:
    read(source, ask("down"))
    assert pauses == [1, 1, 1, 2]
    with pytest.raises(TemporaryError):
        read(source, ask("gone"))
    assert sum(pauses) < 900


class TestCredentials:
    def retrieve(self, service: WebAPIServer, attributes: dict[str, str], **keys: Any) -> bytes:
        source = WebMARSDataSource("webmars", WebMARSSettings(url=service.url, **keys))
        return read(source, Job("i", "retrieve", "", FLAT, attributes=attributes))

    def test_configured_ones_come_first(self, service: WebAPIServer, pauses: list[float]) -> None:
        other = {"ecmwf-email": "bob@example.org", "ecmwf-apikey": "another key"}
        assert self.retrieve(service, other, override_email=EMAIL, override_apikey=KEY) == DATA

    def test_the_key_of_the_site_is_for_users_without_one(
        self, service: WebAPIServer, pauses: list[float]
    ) -> None:
        assert self.retrieve(service, {}, override_email=EMAIL, key=KEY) == DATA

    def test_a_key_that_is_refused_is_said(self, service: WebAPIServer) -> None:
        with pytest.raises(DataSourceError, match=r"refuses the ECMWF API key .*: Access token is invalid"):
            self.retrieve(service, {"ecmwf-email": EMAIL, "ecmwf-apikey": "wrong"})

    def test_without_a_key_nothing_is_sent(self, service: WebAPIServer) -> None:
        with pytest.raises(DataSourceError, match="webmars needs your ECMWF API key"):
            self.retrieve(service, {"ecmwf-email": EMAIL})
        assert service.seen == []


def test_a_service_that_is_down_is_a_trouble_for_now(pauses: list[float]) -> None:
    source = WebMARSDataSource("webmars", WebMARSSettings(url="http://127.0.0.1:9"))
    with pytest.raises(TemporaryError, match="cannot be reached"):
        read(source, ask("good"))


_KILLED = """
import sys
from polytope_server.datasource import Job
from polytope_server.datasource.webmars import WebMARSDataSource, WebMARSSettings

url, email, key = sys.argv[1:]
settings = WebMARSSettings(url=url, override_email=email, override_apikey=key)
WebMARSDataSource("webmars", settings).retrieve(Job("i", "retrieve", "", {"class": "od", "method": "hangs"}))
"""


def test_the_request_of_a_killed_process_is_deleted(service: WebAPIServer) -> None:
    with subprocess.Popen([sys.executable, "-c", _KILLED, service.url, EMAIL, KEY]) as process:
        until(lambda: any("/requests/hangs" in path for _, path, _ in service.seen))
        process.kill()
    until(lambda: service.deleted == ["/v1/services/mars/requests/hangs-1"])


class TestThePublishedClient:
    """`ecmwf-api-client` with the same server, so that this speaks as that expects it."""

    def execute(self, service: WebAPIServer, method: str, target: Path, key: str = KEY) -> None:
        said: list[str] = []
        client = ecmwfapi.ECMWFService("mars", service.url, key, EMAIL, log=said.append)
        client.execute({**FLAT, "method": method}, str(target))

    @pytest.mark.parametrize("method", ["good", "other", "moved"])
    def test_it_retrieves(self, service: WebAPIServer, tmp_path: Path, method: str) -> None:
        self.execute(service, method, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == DATA
        assert len(service.deleted) == 1

    @pytest.mark.parametrize(("method", "key"), [("failed", KEY), ("refused", KEY), ("good", "wrong")])
    def test_it_reads_errors(self, service: WebAPIServer, tmp_path: Path, method: str, key: str) -> None:
        with pytest.raises(APIException):
            self.execute(service, method, tmp_path / "target", key)
