"""A version that knows one field `url`, instead of `input` and `result`, works on the same collection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from pymongo import MongoClient
from pymongo.collection import Collection

from polytope_server.request import LIVE, Address, Input, Status, Upload, Verb
from polytope_server.request_store.mongodb import MongoDBRequestStore, MongoDBRequestStoreSettings
from polytope_server.testing.request_store import ALICE, claimed, make, removed_all
from testbed.services import MongoDB

#: What an earlier version has written, and what it stands for.
WRITTEN = [
    ("http://host/data", Address("http://host/data"), ""),
    ("staging:r/1.bin", Upload("r/1.bin"), ""),
    ("./downloads/r/1.grib", None, "r/1.grib"),
]


@pytest.fixture
def documents(mongodb: MongoDB) -> Iterator[Collection[dict[str, Any]]]:
    with MongoClient[dict[str, Any]](mongodb.uri) as client:
        found = client["request_store"][f"requests-{uuid4().hex[:8]}"]
        yield found
        found.drop()


@pytest.fixture
async def store(
    mongodb: MongoDB, documents: Collection[dict[str, Any]]
) -> AsyncIterator[MongoDBRequestStore]:
    settings = MongoDBRequestStoreSettings(uri=mongodb.uri, collection=documents.name)
    store = MongoDBRequestStore(settings, Path())
    await store.open()
    yield store
    await store.close()


@pytest.mark.parametrize(("url", "source", "result"), WRITTEN)
async def test_what_an_earlier_version_stored_is_read(
    store: MongoDBRequestStore,
    documents: Collection[dict[str, Any]],
    url: str,
    source: Input | None,
    result: str,
) -> None:
    request = make()
    await store.add(request)
    documents.update_one({"_id": request.id}, {"$set": {"url": url}, "$unset": {"input": "", "result": ""}})
    found = await store.get(request.id)
    assert found is not None
    assert (found.input, found.result, found.url) == (source, result, url)


async def test_what_an_earlier_version_has_written_last_counts(
    store: MongoDBRequestStore, documents: Collection[dict[str, Any]]
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Upload("a/1.bin"))
    ended = make(status=Status.PROCESSED)
    for request, url in ((archive, "staging:a/2.bin"), (ended, "./downloads/r/1.grib")):
        await store.add(request)
        documents.update_one({"_id": request.id}, {"$set": {"url": url}})
    found = await store.get(archive.id)
    assert found is not None
    assert found.input == Upload("a/2.bin")
    assert await store.results([ended.id]) == {ended.id: "r/1.grib"}
    assert [one.staged for one in await removed_all(store, ALICE.id, LIVE)] == ["a/2.bin"]


async def test_an_earlier_version_reads_what_this_one_writes(
    store: MongoDBRequestStore, documents: Collection[dict[str, Any]]
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Address("http://host/data"))
    upload = make(verb=Verb.ARCHIVE, status=Status.UPLOADING)
    for request in (archive, upload):
        await store.add(request)
    running = await claimed(store)
    await store.transition(upload.id, Status.UPLOADING, 0, Status.WAITING, input=Upload("u/1.bin"))
    await store.transition(running.id, Status.PROCESSING, 1, Status.PROCESSED, result="r/1.grib")
    assert {document["_id"]: document["url"] for document in documents.find()} == {
        archive.id: "http://host/data",
        upload.id: "staging:u/1.bin",
        running.id: "./downloads/r/1.grib",
    }


async def test_a_later_version_may_leave_the_address_out(
    store: MongoDBRequestStore, documents: Collection[dict[str, Any]]
) -> None:
    archive = make(verb=Verb.ARCHIVE, input=Upload("r/1.bin"))
    await store.add(archive)
    documents.update_one({"_id": archive.id}, {"$unset": {"url": ""}})
    assert await store.get(archive.id) == archive
