"""Versions of schemas on PostgreSQL and MongoDB: stores of later versions, and who must not start."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from pymongo import IndexModel, MongoClient
from pymongo.collection import Collection

from polytope_server.accounts.api_keys.mongodb import MongoDBAPIKeys, MongoDBAPIKeysSettings
from polytope_server.accounts.users.mongodb import MongoDBIdentity, MongoDBIdentitySettings
from polytope_server.drivers.mongodb import Connection, MongoDBSettings
from polytope_server.drivers.mongodb.schema import MongoDBSchema, prepare
from polytope_server.drivers.schema_version import IncompatibleSchemaError, Maintenance
from polytope_server.drivers.sql import Column, Schema
from polytope_server.drivers.sql.address import SQLSettings, database_at
from polytope_server.metric_store import RequestStatusChange
from polytope_server.metric_store.mongodb import MongoDBMetricStore, MongoDBMetricStoreSettings
from polytope_server.request import Status
from polytope_server.request_store import RequestStore, StoreUnavailableError
from polytope_server.request_store.mongodb import MongoDBRequestStore, MongoDBRequestStoreSettings
from polytope_server.request_store.mongodb.documents import SCHEMA, to_document
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import SCHEMA as TABLE
from polytope_server.testing.request_store import RequestStoreContract, claimed, make
from polytope_server.user import User
from testbed.services import MongoDB, PostgreSQL

NOWHERE = Path("/nowhere")


# -- PostgreSQL --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def own_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgreSQL]:
    """A server whose one database these tests change as they like."""
    with PostgreSQL(tmp_path_factory.mktemp("service")) as service:
        yield service


@contextmanager
def connected(service: PostgreSQL) -> Iterator[psycopg.Connection]:
    with psycopg.connect(service.url, autocommit=True) as connection:
        yield connection


def versions(service: PostgreSQL, name: str) -> list[tuple[Any, ...]]:
    with connected(service) as connection:
        sql = "SELECT version, needs FROM schema_versions WHERE name = %s"
        return connection.execute(sql, [name]).fetchall()


async def opened(service: PostgreSQL, *schemas: Schema) -> None:
    for schema in schemas:
        database = database_at(service.url, NOWHERE)
        await database.open(schema)
        await database.close()


def schema(name: str) -> tuple[Schema, Schema, Schema]:
    """A first version, one with an addition, and one that shuts out processes of the first."""
    first = Schema(name, 1, f"CREATE TABLE IF NOT EXISTS {name} (n {{integer}} PRIMARY KEY)")
    second = replace(first, version=2, added=(Column(name, "x", "{text} NOT NULL DEFAULT ''"),))
    return first, second, replace(second, version=3, needs=3)


async def test_a_table_of_versions_from_before_gets_its_new_column(own_postgresql: PostgreSQL) -> None:
    first, second, _ = schema("early")
    with connected(own_postgresql) as connection:
        connection.execute("DROP TABLE IF EXISTS schema_versions")
        connection.execute("CREATE TABLE schema_versions (name TEXT PRIMARY KEY, version INTEGER NOT NULL)")
        connection.execute("CREATE TABLE early (n BIGINT PRIMARY KEY)")
        connection.execute("INSERT INTO schema_versions VALUES ('early', 1)")
    await opened(own_postgresql, first)  # nothing to do, so nothing is changed
    await opened(own_postgresql, second)
    assert versions(own_postgresql, "early") == [(2, 1)]
    with connected(own_postgresql) as connection:  # as a process from before records what it makes
        connection.execute("INSERT INTO schema_versions VALUES ('other', 1)")


async def test_tables_upgrade_and_refuse_by_the_same_rules(own_postgresql: PostgreSQL) -> None:
    first, second, breaking = schema("rules")
    await opened(own_postgresql, first, second, first)
    assert versions(own_postgresql, "rules") == [(2, 1)]
    with pytest.raises(
        IncompatibleSchemaError, match=r"the table rules in .* `polytope-server store upgrade`"
    ):
        await opened(own_postgresql, breaking)
    with Maintenance().running():
        await opened(own_postgresql, breaking)
    assert versions(own_postgresql, "rules") == [(3, 3)]
    with pytest.raises(IncompatibleSchemaError, match=r"schema version 3, .* this one knows 2"):
        await opened(own_postgresql, second)


class TestPostgreSQLStoreOfALaterVersion(RequestStoreContract):
    @pytest.fixture
    async def store(self, own_postgresql: PostgreSQL) -> AsyncIterator[RequestStore]:
        await opened(own_postgresql, TABLE)
        with connected(own_postgresql) as connection:
            connection.execute(
                "ALTER TABLE requests ADD COLUMN IF NOT EXISTS priority INTEGER NOT NULL DEFAULT 7"
            )
            connection.execute("UPDATE schema_versions SET version = 99 WHERE name = 'requests'")
            for table in ("requests", "leases", "tombstones"):
                connection.execute(f"DELETE FROM {table}")
        store = SQLRequestStore(SQLSettings(url=own_postgresql.url), NOWHERE)
        await store.open()
        yield store
        await store.close()

    async def test_what_a_later_version_wrote_stays(
        self, store: RequestStore, own_postgresql: PostgreSQL
    ) -> None:
        request = await claimed(store)
        with connected(own_postgresql) as connection:
            connection.execute("UPDATE requests SET priority = 1")
            await store.transition(request.id, Status.PROCESSING, request.attempt, Status.PROCESSED)
            assert connection.execute("SELECT status, priority FROM requests").fetchall() == [
                ("processed", 1)
            ]

    async def test_a_request_in_a_state_of_a_later_version_is_left_alone(
        self, store: RequestStore, own_postgresql: PostgreSQL
    ) -> None:
        request = make()
        await store.add(request)
        with connected(own_postgresql) as connection:
            connection.execute("UPDATE requests SET status = 'paused'")
        await check_left_alone(store, request.id, request.user.id)


async def check_left_alone(store: RequestStore, request_id: str, user_id: str) -> None:
    with pytest.raises(StoreUnavailableError, match="state 'paused', of a later version"):
        await store.get(request_id)
    assert await store.find(user_id=user_id) == []
    assert await store.remove(request_id, user_id=user_id) is None
    assert await store.existing([request_id]) == {request_id}


# -- MongoDB -----------------------------------------------------------------------------------------


@pytest.fixture
def database(mongodb: MongoDB) -> Iterator[Any]:
    """A database of one test."""
    name = f"versions-{uuid4().hex[:8]}"
    with MongoClient(mongodb.uri) as client:
        yield client[name]
        client.drop_database(name)


async def prepared(service: MongoDB, database: str, *schemas: MongoDBSchema) -> None:
    """The collection `c` opened with these schemas, one after the other."""
    connection = Connection.at(MongoDBSettings(uri=service.uri))
    for one in schemas:
        await connection.open(lambda one=one: prepare(connection.collection(database, "c"), one))
        await connection.close()


async def test_collections_upgrade_and_refuse_by_the_same_rules(mongodb: MongoDB, database: Any) -> None:
    first, second = MongoDBSchema(1, (IndexModel("a"),)), MongoDBSchema(2, (IndexModel("a"), IndexModel("b")))
    breaking = MongoDBSchema(3, (IndexModel("b"),), needs=3)
    await prepared(mongodb, database.name, first, second, first)
    assert database.schema_versions.find_one() == {"_id": "c", "version": 2, "needs": 1}
    assert set(database.c.index_information()) == {"_id_", "a_1", "b_1"}
    with pytest.raises(IncompatibleSchemaError, match=rf"the collection {database.name}\.c of MongoDB"):
        await prepared(mongodb, database.name, breaking)
    with Maintenance().running():
        await prepared(mongodb, database.name, breaking)
    assert database.schema_versions.find_one() == {"_id": "c", "version": 3, "needs": 3}
    with pytest.raises(IncompatibleSchemaError, match=r"schema version 3, .* this one knows 2"):
        await prepared(mongodb, database.name, second)


async def test_an_index_that_a_later_version_took_away_is_not_made_again(
    mongodb: MongoDB, database: Any
) -> None:
    database.schema_versions.insert_one({"_id": "c", "version": 2, "needs": 1, "by": "a later version"})
    await prepared(mongodb, database.name, MongoDBSchema(1, (IndexModel("a"),)))
    assert database.c.index_information() == {}
    assert database.schema_versions.find_one()["by"] == "a later version"


async def test_processes_that_start_together_record_one_version(mongodb: MongoDB, database: Any) -> None:
    script = f"""
import asyncio
from pymongo import IndexModel
from polytope_server.drivers.mongodb import Connection, MongoDBSettings
from polytope_server.drivers.mongodb.schema import MongoDBSchema, prepare
async def main():
    connection = Connection.at(MongoDBSettings(uri={mongodb.uri!r}))
    print(flush=True); input()
    await connection.open(
        lambda: prepare(connection.collection({database.name!r}, "c"), MongoDBSchema(2, (IndexModel("a"),)))
    )
    await connection.close()
asyncio.run(main())
"""
    pipe = subprocess.PIPE
    others = [
        subprocess.Popen([sys.executable, "-c", script], stdin=pipe, stdout=pipe)  # noqa: ASYNC220
        for _ in range(4)
    ]
    for other in others:
        assert other.stdout is not None
        assert await asyncio.to_thread(other.stdout.readline)
    answers = [asyncio.to_thread(other.communicate, b"\n") for other in others]
    await asyncio.gather(*answers)
    assert [other.returncode for other in others] == [0] * 4
    assert list(database.schema_versions.find()) == [{"_id": "c", "version": 2, "needs": 1}]


class TestMongoDBStoreOfALaterVersion(RequestStoreContract):
    @pytest.fixture
    def documents(self, mongodb: MongoDB) -> Iterator[Collection[dict[str, Any]]]:
        """A collection that a later version has prepared."""
        with MongoClient(mongodb.uri) as client:
            found = client["request_store"][f"requests-{uuid4().hex[:8]}"]
            found.create_indexes([*SCHEMA.indexes, IndexModel("priority")])
            client["request_store"]["schema_versions"].insert_one(
                {"_id": found.name, "version": 99, "needs": 1, "by": "a later version"}
            )
            yield found
            found.drop()

    @pytest.fixture
    async def store(
        self, mongodb: MongoDB, documents: Collection[dict[str, Any]]
    ) -> AsyncIterator[RequestStore]:
        settings = MongoDBRequestStoreSettings(uri=mongodb.uri, collection=documents.name)
        store = MongoDBRequestStore(settings, NOWHERE)
        await store.open()
        yield store
        await store.close()

    async def test_what_a_later_version_wrote_stays(
        self, store: RequestStore, documents: Collection[dict[str, Any]]
    ) -> None:
        later = {"priority": 1, "route": {"zone": "b"}, "status_history.paused": 5.0}
        request = await claimed(store)
        documents.update_one({"_id": request.id}, {"$set": later})
        await store.renew([(request.id, request.attempt)], "w", 60)
        done = await store.transition(
            request.id, Status.PROCESSING, request.attempt, Status.PROCESSED, result="u"
        )
        assert done is not None
        found = documents.find_one({"_id": request.id})
        assert found is not None
        assert (found["priority"], found["route"], found["status_history"]["paused"]) == (
            1,
            {"zone": "b"},
            5.0,
        )

    async def test_a_document_of_a_later_version_is_served(
        self, store: RequestStore, documents: Collection[dict[str, Any]]
    ) -> None:
        request = make()
        documents.insert_one({**to_document(request, 1), "priority": 1, "route": {"zone": "b"}})
        assert await store.get(request.id) == request

    async def test_a_request_in_a_state_of_a_later_version_is_left_alone(
        self, store: RequestStore, documents: Collection[dict[str, Any]]
    ) -> None:
        request = make()
        documents.insert_one({**to_document(request, 1), "state": "paused"})
        await check_left_alone(store, request.id, request.user.id)


async def test_a_metric_of_a_later_version_is_read(mongodb: MongoDB, database: Any) -> None:
    store = MongoDBMetricStore(
        MongoDBMetricStoreSettings(uri=mongodb.uri, database=database.name, collection="m"), NOWHERE
    )
    await store.open()
    await store.add(RequestStatusChange("r", "u", "processed", 5.0))
    (written,) = await store.find()
    database.m.update_many({}, {"$set": {"bytes": 7}})
    assert await store.find() == [written]
    await store.close()


async def test_users_and_keys_of_a_later_version_count_and_stay(mongodb: MongoDB, database: Any) -> None:
    users = MongoDBIdentity(
        MongoDBIdentitySettings(uri=mongodb.uri, database=database.name, realm="people"), NOWHERE
    )
    keys = MongoDBAPIKeys(
        MongoDBAPIKeysSettings(uri=mongodb.uri, database=database.name, allowed_realms=["people"]), NOWHERE
    )
    await users.open()
    await keys.open()
    await users.add_user("alice", "a password of alice", ["admin"])
    made = await keys.create(User("alice", "people"))
    database["users"].update_many({}, {"$set": {"expires": 1.0}})
    database["keys"].update_many({}, {"$set": {"scope": ["read"]}})
    await users.set_roles("alice", ["default"])
    assert await users.roles_of("alice") == ["default"]
    assert await keys.verify(made.key) is not None
    assert database["users"].find_one()["expires"] == 1.0
    assert database["keys"].find_one()["scope"] == ["read"]
    assert sorted(found["_id"] for found in database["schema_versions"].find()) == ["keys", "users"]
    await keys.close()
    await users.close()
