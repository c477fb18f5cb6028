"""The data source mars, with an executable that behaves like the MARS client."""

from __future__ import annotations

import gc
import json
import logging
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pymetkit
import pytest
from mars_client import ERRORS, FIELD, FIELD_SIZE, MARSClient

from polytope_server.datasource import GRIB, OCTET_STREAM, DataSourceError, Job, TemporaryError
from polytope_server.datasource.mars import MARSDataSource
from polytope_server.datasource.mars.text import write as write_request
from polytope_server.testing.datasource import DataSourceContract, job
from testbed.waiting import until

# A guard would take longer to be measured than to do its work.
pytestmark = pytest.mark.unmeasured

FLAT = {"class": "od", "stream": "oper", "param": "2t/10u", "date": "20260101"}


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MARSClient]:
    client = MARSClient(tmp_path)
    for name, value in client.variables.items():
        monkeypatch.setenv(name, value)
    yield client
    gc.collect()  # what a test has given up
    until(lambda: not client.running(), 20)
    assert list((tmp_path / "tmp").glob("*")) == []


@pytest.fixture
def make(client: MARSClient, tmp_path: Path) -> Callable[..., MARSDataSource]:
    (tmp_path / "tmp").mkdir()

    def make(**keys: Any) -> MARSDataSource:
        keys = {"command": str(client.path), "tmp_dir": tmp_path / "tmp", **keys}
        source = MARSDataSource("mars", MARSDataSource.Settings(**keys))
        source.prepare()
        return source

    return make


def ask(method: str, **keys: str) -> Job:
    return job({**FLAT, "method": method, **keys})


def read(source: MARSDataSource, wanted: Job) -> bytes:
    return b"".join(source.retrieve(wanted).chunks)


@pytest.mark.parametrize("use_file_io", [False, True], ids=["pipe", "file"])
class TestContract(DataSourceContract):
    @pytest.fixture
    def source(self, make: Callable[..., MARSDataSource], use_file_io: bool) -> MARSDataSource:
        return make(use_file_io=use_file_io)

    @pytest.fixture
    def good(self) -> Job:
        return ask("good")

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        return FIELD + FIELD, GRIB

    @pytest.fixture
    def bad(self) -> Job:
        return ask("fails")


@pytest.mark.parametrize("use_file_io", [False, True], ids=["pipe", "file"])
class TestFaults:
    @pytest.fixture
    def source(self, make: Callable[..., MARSDataSource], use_file_io: bool) -> MARSDataSource:
        return make(use_file_io=use_file_io)

    @pytest.mark.parametrize(
        ("method", "error", "message"),
        [
            ("fails", DataSourceError, "\n".join(["failed unexpectedly with error code 7", *ERRORS])),
            ("late", DataSourceError, "error code 2\nmars - EROR - the disk is full at .../target"),
            ("dies", TemporaryError, "MARS retrieval failed unexpectedly with error code -9"),
            ("cut", TemporaryError, f"only a part .*within message 2, at byte {FIELD_SIZE * 3 // 2}"),
            ("fewer", TemporaryError, "only a part .*within message 1"),
            ("nothing", DataSourceError, "^MARS found no data for this request.$"),
        ],
    )
    def test_what_fails_is_said(
        self, source: MARSDataSource, method: str, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            read(source, ask(method))

    def test_a_descendant_that_survives_the_client_is_ended(
        self, source: MARSDataSource, client: MARSClient
    ) -> None:
        assert read(source, ask("daemon")) == FIELD
        assert len(client.pids()) == 2
        assert client.running() == []

    def test_a_flood_of_output_takes_neither_memory_nor_log(
        self, source: MARSDataSource, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO)
        texts: list[str] = []
        wanted = Job(
            "i", "retrieve", "", {**FLAT, "method": "floods"}, tell=lambda kind, text: texts.append(text)
        )
        tracemalloc.start()
        try:
            assert read(source, wanted) == FIELD
            assert tracemalloc.get_traced_memory()[1] < 3 * FIELD_SIZE
        finally:
            tracemalloc.stop()
        assert len(caplog.text) < 100_000
        assert "further lines of the MARS client are left out" in caplog.text
        assert len(texts) < 20

    def test_a_client_may_open_its_target_twice(self, source: MARSDataSource) -> None:
        assert read(source, ask("twice")) == FIELD + FIELD

    def test_no_data_are_a_result_where_the_request_says_so(self, source: MARSDataSource) -> None:
        assert read(source, ask("nothing", expect="any")) == b""

    def test_other_messages_than_grib_have_another_media_type(self, source: MARSDataSource) -> None:
        assert source.retrieve(ask("bufr")).content_type == OCTET_STREAM

    @pytest.mark.parametrize("method", ["hangs", "stubborn"])
    def test_a_client_that_takes_too_long_is_ended(
        self, make: Callable[..., MARSDataSource], client: MARSClient, use_file_io: bool, method: str
    ) -> None:
        source = make(use_file_io=use_file_io, timeout=0.7)
        with pytest.raises(TemporaryError, match=r"^MARS did not finish within 0.7 seconds\.$"):
            read(source, ask(method))
        assert client.running() == []


def test_a_client_without_end_is_ended_with_its_time(
    make: Callable[..., MARSDataSource], client: MARSClient
) -> None:
    with pytest.raises(TemporaryError, match="did not finish"):
        for _ in make(timeout=0.5).retrieve(ask("streams")).chunks:
            pass
    assert client.running() == []


def test_memory_stays_flat(make: Callable[..., MARSDataSource]) -> None:
    chunks = iter(make().retrieve(ask("streams")).chunks)
    tracemalloc.start()
    try:
        assert sum(len(next(chunks)) for _ in range(300)) > 10 * FIELD_SIZE
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_a_client_that_ends_at_once_is_not_waited_for(
    make: Callable[..., MARSDataSource], tmp_path: Path
) -> None:
    quick = tmp_path / "quick"
    quick.write_text("#!/bin/sh\nexit 3\n")
    quick.chmod(0o755)
    source = make(command=str(quick), timeout=20)
    for _ in range(15):
        with pytest.raises(DataSourceError, match="error code 3"):
            read(source, ask("good"))


def test_a_command_that_is_not_there_is_no_fault_of_the_user(make: Callable[..., MARSDataSource]) -> None:
    with pytest.raises(TemporaryError, match=r"^mars cannot be used at the moment\.$"):
        read(make(command="/no/such/mars"), ask("good"))


def test_a_guard_that_is_killed_takes_the_client_with_it(
    make: Callable[..., MARSDataSource], client: MARSClient
) -> None:
    chunks = iter(make().retrieve(ask("streams")).chunks)
    next(chunks)
    (pid,) = client.pids()
    guard = psutil.Process(pid).parent()
    assert guard is not None
    assert "guard.py" in " ".join(guard.cmdline())
    guard.kill()
    with pytest.raises(TemporaryError, match="cannot be used at the moment"):
        for _ in chunks:
            pass
    until(lambda: not client.running(), 20)


class TestEnvironment:
    def seen(self, source: MARSDataSource, method: str = "environment", **attributes: str) -> Any:
        wanted = Job("i", "retrieve", "", {**FLAT, "method": method}, attributes=attributes)
        return json.loads(read(source, wanted))

    def test_the_credentials_are_those_of_the_user(self, make: Callable[..., MARSDataSource]) -> None:
        attributes = {"ecmwf-email": "a@example.org", "ecmwf-apikey": "the key"}
        _, variables, _ = self.seen(make(), **attributes)
        assert (variables["MARS_USER_EMAIL"], variables["MARS_USER_TOKEN"]) == ("a@example.org", "the key")

    def test_the_configured_ones_come_first(self, make: Callable[..., MARSDataSource]) -> None:
        source = make(override_email="m@example.org", override_apikey="another key")
        _, variables, _ = self.seen(source, **{"ecmwf-email": "a@example.org", "ecmwf-apikey": "the key"})
        assert (variables["MARS_USER_EMAIL"], variables["MARS_USER_TOKEN"]) == (
            "m@example.org",
            "another key",
        )

    def test_what_the_client_finds(
        self,
        make: Callable[..., MARSDataSource],
        client: MARSClient,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setenv("POLYTOPE_DEPLOYMENT_KEY", "a secret of the server")
        monkeypatch.setenv("MARS_ANYTHING_KEY", "of MARS")
        request, variables, files = self.seen(make(fdb_config={"type": "remote", "host": "h", "port": 7654}))
        assert "POLYTOPE_DEPLOYMENT_KEY" not in variables
        assert (variables["MARS_USER_EMAIL"], variables["MARS_USER_TOKEN"]) == ("no-email", "no-api-key")
        assert variables["MARS_ANYTHING_KEY"] == "of MARS"
        assert variables["ECMWF_MARS_COMMAND"] == str(client.path)
        assert variables["FDB5_CONFIG"] == "type: remote\nhost: h\nport: 7654\n"
        assert sorted(files) == ["request", "target"]
        start, _, target = request.partition(',target="')
        assert start == "retrieve,class=od,stream=oper,param=2t/10u,date=20260101,method=environment"
        assert target.startswith(f"{tmp_path}/tmp/polytope-mars-")

    def test_the_databases_are_in_its_home(self, make: Callable[..., MARSDataSource]) -> None:
        databases, fdb = self.seen(make(config=[{"name": "marsod", "host": "h"}]), "home")
        assert (databases, fdb) == ("- name: marsod\n  host: h\n", "")

    def test_a_remote_fdb_is_described_where_its_database_says(
        self, make: Callable[..., MARSDataSource]
    ) -> None:
        source = make(
            protocol="remote",
            config=[{"name": "fdb"}],
            fdb_config={"type": "remote", "host": "h", "port": 7654},
        )
        databases, fdb = self.seen(source, "home")
        assert (databases.splitlines()[1], fdb) == ("  name: fdb", "type: remote\nhost: h\nport: 7654\n")


def test_the_user_sees_lines_of_errors_and_the_last_line(make: Callable[..., MARSDataSource]) -> None:
    texts: list[tuple[str, str]] = []
    wanted = Job(
        *("i", "retrieve", "", {**FLAT, "method": "warns", "target": "x.grib"}),
        tell=lambda kind, text: texts.append((kind, text)),
    )
    assert read(make(poll_interval=0), wanted) == FIELD
    assert [text for kind, text in texts if kind == "note"] == [
        "The key 'target' has no effect: the result is downloaded from this server.",
        ERRORS[0],
    ]
    assert ("progress", "mars - INFO   - 20260101.120000 - Requesting 2 fields") in texts


def test_what_a_killed_process_left_is_removed_by_the_next(
    make: Callable[..., MARSDataSource], tmp_path: Path
) -> None:
    (tmp_path / "tmp" / "polytope-mars-left").mkdir()
    make()
    assert list((tmp_path / "tmp").iterdir()) == []


class TestQuoting:
    """The text as metkit's parser reads it, which is that of the newer MARS client."""

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            ("param", "2t/10u", ["167", "165"]),
            ("area", "60/-10/30.5/40", ["60", "-10", "30.5", "40"]),
            ("step", "0/to/24/by/6", ["0", "6", "12", "18", "24"]),
            ("filter", "select * where stationid='X', target=\"", None),
            ("filter", "select * where x=1, target = /tmp/x", "select * where x=1, target = /tmp/x"),
            ("filter", "'select * where stationid=\"X\"'", 'select * where stationid="X"'),
            ("filter", "select a/b where c != 'x'", "select a/b where c != 'x'"),
            ("expect", "any", "any"),
        ],
    )
    def test_a_value_is_read_as_it_was_meant(self, key: str, value: str, expected: object) -> None:
        wanted = {"class": "od", "type": "fc", key: value}
        check = MARSDataSource.request_check(MARSDataSource.Settings())
        assert check is not None
        if expected is None:
            with pytest.raises(DataSourceError, match="both kinds of quotes"):
                check(wanted, "retrieve")
            return
        check(wanted, "retrieve")
        (found,) = pymetkit.parse_mars_request(write_request(wanted, Path("/tmp/a folder/target")))
        assert found[key] == expected
        assert found["target"] == "/tmp/a folder/target"
