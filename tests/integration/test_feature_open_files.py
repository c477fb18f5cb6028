"""Fields without an index: GribJump opens a file for each and never closes it, so a process is worn out."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from feature_fields import fill, request

from polytope_server.datasource import DataSourceError, WornOutError
from polytope_server.datasource.fdb import index
from polytope_server.datasource.polytope import PolytopeDataSource, PolytopeSettings
from polytope_server.testing.datasource import job

GRID = "regular"
STEPS = ("0", "6", "12")
#: What is kept free, see `jump`.
SPARE = 64


def open_files() -> int:
    return len(os.listdir("/dev/fd"))


@pytest.fixture
def source(tmp_path: Path) -> PolytopeDataSource:
    settings = {"gribjump_config": {}, "fdb_config": fill(tmp_path, [GRID])}
    made = PolytopeDataSource("features", PolytopeSettings.model_validate(settings))
    made.prepare()
    return made


@pytest.fixture
def busy() -> Iterator[None]:
    """A process that has more files open than one that has just started."""
    with ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(open(os.devnull))
        yield


def retrieve(source: PolytopeDataSource, param: str) -> None:
    feature = {"type": "timeseries", "points": [[48.8, 2.3]], "time_axis": "step"}
    found = source.retrieve(job({**request(GRID, param=param, step="/".join(STEPS)), "feature": feature}))
    assert b"".join(found.chunks)


def leave_room(monkeypatch: pytest.MonkeyPatch, files: int) -> None:
    limit = open_files() + SPARE + files
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (limit, limit))


def test_each_field_takes_a_file_and_one_with_an_index_none(
    source: PolytopeDataSource, tmp_path: Path
) -> None:
    before = open_files()
    retrieve(source, "2t")
    # Should this fail because they are closed, `reserve_files` can go.
    assert open_files() == before + len(STEPS)
    index.write(list(tmp_path.rglob("*.data")))
    before = open_files()
    retrieve(source, "msl")
    assert open_files() == before


@pytest.mark.usefixtures("busy")
def test_a_process_with_too_many_open_files_is_replaced(
    source: PolytopeDataSource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    leave_room(monkeypatch, len(STEPS))
    retrieve(source, "2t")
    with pytest.raises(WornOutError, match="too many files"):
        retrieve(source, "msl")
    index.write(list(tmp_path.rglob("*.data")))
    retrieve(source, "msl")


@pytest.mark.usefixtures("busy")
def test_what_no_process_could_read_is_refused(
    source: PolytopeDataSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (2 * SPARE + 2, 2 * SPARE + 2))
    reason = "3 of the fields have no index of GribJump; of such fields at most 2 can"
    with pytest.raises(DataSourceError, match=reason):
        retrieve(source, "2t")
