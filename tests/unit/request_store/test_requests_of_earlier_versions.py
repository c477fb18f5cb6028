"""A version that knows one field `url`, instead of `input` and `result`, works on the same store."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.request import LIVE, Address, Input, Status, Upload, Verb
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.testing.request_store import ALICE, claimed, make, removed_all

#: What an earlier version has written, and what it stands for.
WRITTEN = [
    ("", None, ""),
    ("http://host/data", Address("http://host/data"), ""),
    ("staging:r/1.bin", Upload("r/1.bin"), ""),
    ("./downloads/r/1.grib", None, "r/1.grib"),
]
Write = Callable[[str, str], None]


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SQLRequestStore]:
    store = SQLRequestStore(SQLSettings(), tmp_path)
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def database(tmp_path: Path, store: SQLRequestStore) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "polytope.sqlite", isolation_level=None)) as connection:
        yield connection


@pytest.fixture
def write(database: sqlite3.Connection) -> Write:
    """Sets the `url` of a request as a process of an earlier version does."""
    return lambda request_id, url: (
        database.execute("UPDATE requests SET url = ? WHERE id = ?", (url, request_id)) and None
    )


def url_of(database: sqlite3.Connection, request_id: str) -> str:
    """What a process of an earlier version reads."""
    ((url,),) = database.execute("SELECT url FROM requests WHERE id = ?", (request_id,))
    return str(url)


@pytest.mark.parametrize(("url", "source", "result"), WRITTEN)
async def test_what_an_earlier_version_wrote_is_read(
    store: SQLRequestStore, write: Write, url: str, source: Input | None, result: str
) -> None:
    request = make()
    await store.add(request)
    write(request.id, url)
    found = await store.get(request.id)
    assert found is not None
    assert (found.input, found.result, found.url) == (source, result, url)


async def test_an_upload_that_an_earlier_version_has_replaced_is_the_later_one(
    store: SQLRequestStore, write: Write
) -> None:
    request = make(verb=Verb.ARCHIVE, input=Upload("r/1.bin"))
    await store.add(request)
    write(request.id, "staging:r/2.bin")
    found = await store.get(request.id)
    assert found is not None
    assert found.input == Upload("r/2.bin")
    again = await store.transition(request.id, Status.WAITING, 0, Status.WAITING, input=Upload("r/3.bin"))
    assert again is not None
    assert again.input == Upload("r/3.bin")
    (removed,) = await removed_all(store, ALICE.id, LIVE)
    assert removed.staged == "r/3.bin"


async def test_what_an_earlier_version_staged_is_known_when_the_request_has_ended(
    store: SQLRequestStore, write: Write
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Upload("a/1.bin"), status=Status.FAILED)
    retrieval = make(status=Status.PROCESSED)
    for request, url in ((archive, "staging:a/2.bin"), (retrieval, "./downloads/r/1.grib")):
        await store.add(request)
        write(request.id, url)
    expected = {archive.id: "a/2.bin", retrieval.id: "r/1.grib"}
    assert await store.results(list(expected)) == expected
    removed = await removed_all(store, ALICE.id, list(Status))
    assert {one.id: one.staged for one in removed} == expected


async def test_an_earlier_version_reads_what_this_one_writes(
    store: SQLRequestStore, database: sqlite3.Connection
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Address("http://host/data"))
    upload = make(verb=Verb.ARCHIVE, status=Status.UPLOADING)
    for request in (archive, upload):
        await store.add(request)
    assert (url_of(database, archive.id), url_of(database, upload.id)) == ("http://host/data", "")
    await store.transition(upload.id, Status.UPLOADING, 0, Status.WAITING, input=Upload("u/1.bin"))
    assert url_of(database, upload.id) == "staging:u/1.bin"
    running = await claimed(store)
    await store.transition(running.id, Status.PROCESSING, 1, Status.PROCESSED, result="r/1.grib")
    assert url_of(database, running.id) == "./downloads/r/1.grib"


async def test_a_later_version_may_leave_the_address_out(
    store: SQLRequestStore, write: Write, database: sqlite3.Connection
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Upload("r/1.bin"))
    await store.add(archive)
    write(archive.id, "")
    assert await store.get(archive.id) == archive


async def test_a_step_that_changes_neither_leaves_the_address(
    store: SQLRequestStore, database: sqlite3.Connection
) -> None:
    request = await claimed(store, verb=Verb.ARCHIVE, input=Upload("r/1.bin"))
    await store.transition(request.id, Status.PROCESSING, 1, Status.QUEUED, worker="")
    assert url_of(database, request.id) == "staging:r/1.bin"
