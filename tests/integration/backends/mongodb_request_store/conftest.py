"""Request stores on a MongoDB."""

from collections.abc import AsyncIterator, Iterator

import pytest
from mongodb_stores import Connect, Documents, build, collection

from polytope_server.request_store.mongodb import MongoDBRequestStore
from testbed.services import MongoDB


@pytest.fixture
def documents(mongodb: MongoDB) -> Iterator[Documents]:
    """A new collection, as other programs see it."""
    with mongodb.client() as client:
        yield client["request_store"][collection()]


@pytest.fixture
async def connect(mongodb: MongoDB, documents: Documents) -> AsyncIterator[Connect]:
    """Makes open stores that work on that collection."""
    made = list[MongoDBRequestStore]()

    async def track() -> MongoDBRequestStore:
        made.append(build(mongodb, collection=documents.name))
        await made[-1].open()
        return made[-1]

    yield track
    for store in made:
        await store.close()


@pytest.fixture
async def store(connect: Connect) -> MongoDBRequestStore:
    return await connect()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server that asks for an account."""
    with MongoDB(tmp_path_factory.mktemp("guarded"), auth=True) as service:
        yield service


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoDB]:
    """A server that belongs to no replica set."""
    with MongoDB(tmp_path_factory.mktemp("alone"), members=0) as service:
        yield service
