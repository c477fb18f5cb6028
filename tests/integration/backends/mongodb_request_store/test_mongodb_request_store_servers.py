"""The request store on MongoDB: opening, accounts, a server without replicas, faults."""

import asyncio
import gc
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from mongodb_stores import Documents, Traffic, build, collection, logger, works
from pymongo import timeout

from polytope_server.drivers.mongodb import Connection
from polytope_server.request import LIVE, Status
from polytope_server.request_store import RequestStore, Selection, StoreUnavailableError
from polytope_server.request_store.mongodb import MongoDBRequestStore, MongoDBRequestStoreSettings
from polytope_server.testing.request_store import (
    ALICE,
    RequestStoreContract,
    claimed,
    make,
    removed_all,
)
from testbed.services import MongoDB


class TestOpening:
    async def test_indexes_are_made_once(self, mongodb: MongoDB, documents: Documents) -> None:
        name, database = documents.name, documents.database
        stores = [build(mongodb, collection=name) for _ in range(4)]
        await asyncio.gather(*(store.open() for store in stores))
        assert len(documents.index_information()) == 10
        database.command("profile", 2)
        late = build(mongodb, collection=name)
        await late.open()
        database.command("profile", 0)
        profiled = database["system.profile"].find({"ns": {"$regex": name}}).to_list()
        assert [next(iter(record["command"])) for record in profiled] == ["listIndexes"]
        database.drop_collection("system.profile")
        for store in (*stores, late):
            await store.close()

    async def test_indexes_that_are_lost_are_made_at_the_next_start(
        self, mongodb: MongoDB, documents: Documents
    ) -> None:
        store = build(mongodb, collection=documents.name)
        await store.open()
        documents.drop()
        await store.add(make())
        with pytest.raises(StoreUnavailableError, match="hint"):
            await store.find()
        await store.close()
        await store.open()
        assert len(await store.find()) == 1
        await store.close()

    async def test_it_opens_and_closes_as_often_as_one_likes(self, mongodb: MongoDB) -> None:
        store = build(mongodb, collection=collection())
        await store.close()
        with pytest.raises(StoreUnavailableError, match="not open"):
            await store.get("x")
        for _ in range(2):
            await store.open()
            await store.open()
            await store.add(make())
            await store.close()
            await store.close()
        with pytest.raises(StoreUnavailableError, match="not open"):
            await store.find()

    async def test_what_an_earlier_server_left_stays_as_it_is(self, mongodb: MongoDB) -> None:
        name = collection()
        with mongodb.client() as client:
            old = client["request_store"][name]
            old.create_index([("status", 1), ("last_modified", -1)])
            old.create_index("id")
            old.create_index([("timestamp", -1), ("last_modified", -1)])
            old.create_index([("user.id", 1), ("last_modified", -1)])
            times = {"timestamp": 1.0, "last_modified": 1.0}
            user = {"id": ALICE.id, "username": "alice", "realm": "testrealm", "roles": [], "attributes": {}}
            left = [
                {"id": str(uuid4()), "status": str(status), "user": user, "collection": "c", **times}
                for status in Status
            ]
            old.insert_many(left)
            store = build(mongodb, collection=name)
            await store.open()
            request = await claimed(store)
            assert await store.find() == [request]
            assert await store.find(user_id=ALICE.id) == [request]
            assert await store.count() == 1
            assert [found.id for found in await store.stale(request.status, -1, 100)] == [request.id]
            assert await store.usage(10) == []
            assert [summary.id for summary in await store.active(0, 9)] == [request.id]
            assert [found.id for found in await removed_all(store, ALICE.id, Status)] == [request.id]
            await store.close()
            assert list(old.find(sort=[("_id", 1)])) == left


class TestAccounts:
    async def test_keys_of_an_account_may_hold_any_character(self, guarded: MongoDB) -> None:
        store = build(guarded, username=guarded.user, password=guarded.password)
        await store.open()
        await store.add(make())
        await store.close()

    async def test_the_address_says_where_the_account_is(self, guarded: MongoDB) -> None:
        with guarded.client() as client:
            rights = [{"role": "readWrite", "db": "request_store"}]
            client["accounts"].command("createUser", "u:@/%", pwd="p@/:%$x", roles=rights)
        keys = {"username": "u:@/%", "password": "p@/:%$x"}
        for uri, account in (
            (f"{guarded.uri}&authSource=accounts", keys),
            (guarded.uri.replace("://", "://u%3A%40%2F%25:p%40%2F%3A%25%24x@") + "&authSource=accounts", {}),
        ):
            store = MongoDBRequestStore(MongoDBRequestStoreSettings(uri=uri, **account), Path())
            await store.open()
            await store.add(make())
            await store.close()

    @pytest.mark.parametrize("account", [{"username": "tests", "password": "hunter2"}, {}])
    async def test_a_refusal_names_the_server_and_no_password(
        self, guarded: MongoDB, account: dict[str, str]
    ) -> None:
        settings = MongoDBRequestStoreSettings(uri=guarded.uri, **account)
        store = MongoDBRequestStore(settings, Path())
        with pytest.raises(StoreUnavailableError, match=str(guarded.port)) as caught:
            await store.open()
        assert "uthenticat" in str(caught.value)
        assert "hunter2" not in f"{caught.value!r} {Connection.at(settings)!r}"


class TestStandAlone(RequestStoreContract):
    @pytest.fixture
    async def store(self, alone: MongoDB) -> AsyncIterator[RequestStore]:
        store = build(alone, collection=collection())
        await store.open()
        yield store
        await store.close()


# A connection that the driver gives up while it is made is closed by the garbage collection only.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
class TestFaults:
    @pytest.fixture(autouse=True)
    def collected(self) -> Iterator[None]:
        yield
        gc.collect()

    async def test_it_survives_a_server_that_is_killed(self, tmp_path: Path) -> None:
        with MongoDB(tmp_path) as service:
            store = build(service)
            await store.open()
            request = await claimed(store)
            service.kill()
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: store.add(make()),
                lambda: store.get(request.id),
                store.find,
                lambda: store.count(statuses=[Status.WAITING]),
                lambda: store.waiting(0, None, 9),
                lambda: store.renew({(request.id, 1)}, "w", 60),
                lambda: store.transition(request.id, Status.PROCESSING, 1, Status.FAILED),
                lambda: store.promote([request.id], "b", 1),
                lambda: store.claim([request.id], "w", 60),
                lambda: store.lead("broker", "b", 60),
                lambda: removed_all(store, ALICE.id, LIVE),
                lambda: store.page(Selection(ALICE.id)),
                lambda: store.text_size(ALICE.id, LIVE),
            ]
            began = time.monotonic()
            errors = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
            assert time.monotonic() - began < 5
            for error in errors:
                assert isinstance(error, StoreUnavailableError), error
                assert str(service.port) in str(error)
                assert len(str(error)) < 400
            service.start()
            began = time.monotonic()
            await works(store)
            logger.info("works after %.2f s", time.monotonic() - began)
            assert time.monotonic() - began < 5
            assert await store.get(request.id) == request
            await store.close()

    async def test_it_opens_when_the_server_is_there(self, tmp_path: Path) -> None:
        service = MongoDB(tmp_path)
        store = build(service)
        for _ in range(2):
            with pytest.raises(StoreUnavailableError, match=str(service.port)):
                await store.open()
        with service:
            await store.open()
            await store.add(make())
            await store.close()

    async def test_a_server_that_hangs_is_unavailable(self, tmp_path: Path) -> None:
        with MongoDB(tmp_path) as service:
            store = build(service)
            await store.open()
            await store.add(make())
            service.suspend()
            began = time.monotonic()
            errors = await asyncio.gather(store.get("x"), store.add(make()), return_exceptions=True)
            assert time.monotonic() - began < 10
            assert [type(error) for error in errors] == [StoreUnavailableError] * 2
            service.resume()
            await works(store)
            await store.close()

    async def test_a_primary_without_a_majority_does_not_say_what_exists(self, tmp_path: Path) -> None:
        with MongoDB(tmp_path, members=3) as service:
            store = build(service)
            await store.open()
            request = make()
            await store.add(request)
            assert await store.existing([request.id, "x"]) == {request.id}
            with service.client() as client:
                found = client["request_store"]["requests"]
                assert found.find_one({"_id": request.id}) is not None
                for member in service.members:
                    os.killpg(member.pid, signal.SIGSTOP)
                # What it has of before it still returns, while it does not know that others may have a new
                # primary.
                assert found.find_one({"_id": request.id}) is not None
            for call in (store.existing, store.results):
                with pytest.raises(StoreUnavailableError), timeout(0.5):
                    await call([request.id, "x"])
            for member in service.members:
                os.killpg(member.pid, signal.SIGCONT)
            await works(store)
            await store.close()

    async def test_no_request_is_lost_or_doubled_when_primaries_change(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        with MongoDB(tmp_path, members=3) as service:
            store = build(service)
            await store.open()
            traffic = Traffic(store)
            working = [asyncio.create_task(traffic.work()) for _ in range(8)]
            await traffic.progress(50)
            await asyncio.to_thread(service.step_down)
            await traffic.progress(50)
            await asyncio.to_thread(service.kill_primary)
            await traffic.progress(50)
            traffic.stop = True
            await asyncio.gather(*working)
            await works(store)
            assert traffic.longest < 10
            stored = {request.id: request for request in await store.find()}
            assert traffic.done <= stored.keys()
            for key in traffic.done:
                assert (stored[key].status, stored[key].attempt) == (Status.PROCESSED, 1)
            await store.close()
            logger.info("refused: %d, longest: %.1f s", traffic.refused, traffic.longest)
