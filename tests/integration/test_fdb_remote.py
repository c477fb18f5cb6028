"""The data source fdb on remote FDBs, and on several FDBs: real servers of ECMWF's package."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fdb_fields import LABEL, STEPS, SURFACE, listed, message, read, stored
from remote_fdb import RemoteFDB

from polytope_demonstration import fdb as demo
from polytope_server.datasource import GRIB, DataSourceError, Job, Question, TemporaryError
from polytope_server.datasource.fdb import FDBDataSource, FDBSettings
from polytope_server.testing.datasource import DataSourceContract, job

SCHEMA = Path(demo.__file__).with_name("schema")


def source_of(config: Any, **settings: Any) -> FDBDataSource:
    made = FDBDataSource("trial", FDBSettings(fdb_config=config, **settings))
    made.prepare()
    return made


def refusal_of(source: FDBDataSource, **request: Any) -> str:
    with pytest.raises(DataSourceError) as raised:
        read(source, **request)
    return str(raised.value)


def other(**keys: Any) -> dict[str, Any]:
    return {**SURFACE, "expver": "0002", "param": "2t", "step": "0", **keys}


@pytest.fixture(scope="module")
def remote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteFDB]:
    with RemoteFDB(tmp_path_factory.mktemp("remote"), SCHEMA) as made:
        source_of(made.config).archive(job({}, verb="archive"), stored())
        yield made


class TestRemoteContract(DataSourceContract):
    @pytest.fixture
    def source(self, remote: RemoteFDB) -> FDBDataSource:
        return source_of(remote.config)

    @pytest.fixture
    def good(self) -> Job:
        return job({**SURFACE, "param": "2t/msl", "step": "0/to/12/by/6"})

    @pytest.fixture
    def expected(self) -> tuple[bytes, str]:
        return b"".join(message(param, step) for step in STEPS for param in ("2t", "msl")), GRIB

    @pytest.fixture
    def bad(self) -> Job:
        return job({**SURFACE, "param": "nosuch", "step": "0"})

    @pytest.fixture
    def archive_job(self) -> Job:
        return job({"step": "18"}, verb="archive")

    @pytest.fixture
    def archive_data(self) -> list[bytes]:
        return [message(step=18)]


class TestRemote:
    def test_what_is_missing_is_named(self, remote: RemoteFDB) -> None:
        source = source_of(remote.config)
        wanted = {**SURFACE, "param": "2t"}
        assert refusal_of(source, **wanted, step="0/99") == "1 of 2 fields are not available: step=99"
        assert refusal_of(source, **wanted).endswith("The request must also name: step")
        answer = source.answer(Question("estimate", {**wanted, "step": "0/99"}))
        missing = {"fields": 1, "examples": [{"step": "99"}]}
        assert answer.value == {"fields": 2, "bytes": len(message()), "missing": missing}

    def test_a_retrieval_needs_no_schema_here_and_an_upload_does(self, remote: RemoteFDB) -> None:
        config = {key: value for key, value in remote.config.items() if key != "schema"}
        source = source_of(config)
        assert read(source, **SURFACE, param="2t", step="6") == message(step=6)
        with pytest.raises(DataSourceError, match="does not archive"):
            source.archive(job({}, verb="archive"), [message()])

    def test_nothing_of_a_bad_upload_becomes_visible(self, remote: RemoteFDB) -> None:
        source = source_of(remote.config)
        with pytest.raises(DataSourceError, match="GRIB message"):
            source.archive(job({}, verb="archive"), [message(expver="0003"), b"garbage"])
        assert "1 of 1 fields" in refusal_of(source, **other(expver="0003"))

    def test_while_its_servers_are_down_requests_are_tried_again(self, tmp_path: Path) -> None:
        with RemoteFDB(tmp_path / "own", SCHEMA) as own:
            source = source_of(own.config)
            source.archive(job({}, verb="archive"), [message()])
            own.stop()
            for _ in range(2):
                with pytest.raises(TemporaryError, match=r"^trial cannot be used at the moment\.$"):
                    read(source, **SURFACE, param="2t", step="0")
            own.start()
            assert read(source, **SURFACE, param="2t", step="0") == message()

    def test_a_select_has_local_and_remote_parts(self, remote: RemoteFDB, tmp_path: Path) -> None:
        local = {**demo.configuration(tmp_path), "schema": str(SCHEMA), "select": "expver=0002"}
        config = {"type": "select", "fdbs": [{**remote.config, "select": "expver=0001"}, local]}
        source = source_of(config)
        source.archive(job({}, verb="archive"), [message(expver="0002")])
        assert read(source, **SURFACE, param="2t", step="0") == message()
        assert read(source, **other()) == message(expver="0002")
        assert [keys["expver"] for keys in listed(source_of(local))] == ["0002"]


@pytest.fixture
def parts(tmp_path: Path) -> list[dict[str, Any]]:
    """Two local FDBs whose folders are not there yet: one for each experiment."""
    roots = [tmp_path / name for name in ("first", "second")]
    return [
        {**demo.configuration(root), "schema": str(SCHEMA), "select": f"expver=000{n}"}
        for n, root in enumerate(roots, 1)
    ]


class TestSelect:
    def test_fields_go_to_their_part_and_come_from_it(self, parts: list[dict[str, Any]]) -> None:
        source = source_of({"type": "select", "fdbs": parts})
        source.archive(job({}, verb="archive"), [*stored(), message(expver="0002")])
        assert [len(listed(source_of(part))) for part in parts] == [12, 1]
        assert read(source, **SURFACE, param="2t", step="0/6") == message() + message(step=6)
        assert read(source, **other()) == message(expver="0002")
        assert "1 of 2 fields are not available: step=6" in refusal_of(source, **other(step="0/6"))

    def test_the_parts_have_their_schema_from_above(self, parts: list[dict[str, Any]]) -> None:
        bare = [{key: value for key, value in part.items() if key != "schema"} for part in parts]
        source = source_of({"type": "select", "schema": str(SCHEMA), "fdbs": bare})
        source.archive(job({}, verb="archive"), [message(expver="0002")])
        assert read(source, **other()) == message(expver="0002")

    def test_no_part_is_for_it(self, parts: list[dict[str, Any]]) -> None:
        source = source_of({"type": "select", "fdbs": parts})
        assert refusal_of(source, **other(expver="0009")).startswith(
            "1 of 1 fields are not available: class=od"
        )
        with pytest.raises(DataSourceError, match="No matching fdb for key"):
            source.archive(job({}, verb="archive"), [message(), message(expver="0009")])
        assert listed(source) == []

    def test_a_read_only_part_is_read(self, parts: list[dict[str, Any]]) -> None:
        source_of(parts[0]).archive(job({}, verb="archive"), [message()])
        source = source_of({"type": "select", "fdbs": [{**parts[0], "writable": False}, parts[1]]})
        assert read(source, **SURFACE, param="2t", step="0") == message()
        with pytest.raises(DataSourceError, match="takes no more fields of this date, time and kind"):
            source.archive(job({}, verb="archive"), [message(step=6)])
        source.archive(job({}, verb="archive"), [message(expver="0002")])
        assert read(source, **other()) == message(expver="0002")

    def test_a_read_only_part_takes_nothing_new(self, parts: list[dict[str, Any]]) -> None:
        source = source_of({"type": "select", "fdbs": [{**parts[0], "writable": False}, parts[1]]})
        with pytest.raises(DataSourceError, match="the FDB is read-only for such fields"):
            source.archive(job({}, verb="archive"), [message()])


def test_the_library_has_no_fdbs_of_type_dist(parts: list[dict[str, Any]]) -> None:
    """It is said by `config check`. Should this fail, a newer library has them: write tests of them."""
    source = source_of({"type": "dist", "lanes": [{**part, "select": ""} for part in parts]})
    (warning,) = source.settings.warnings()
    assert "knows no type 'dist'" in warning
    with pytest.raises(TemporaryError):
        read(source, **LABEL, levtype="sfc", param="2t", step="0")
