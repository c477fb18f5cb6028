import asyncio
import random
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from polytope_server.drivers.sql import Outcome, Parameters, Row
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.drivers.sql.postgresql import PostgreSQL as Database
from polytope_server.request import LIVE, TERMINAL, Request, Status
from polytope_server.request_store import DuplicateRequestError, Selection, StoreUnavailableError
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import INSERT, SCHEMA, to_row
from polytope_server.testing.request_store import (
    ALICE,
    BOB,
    RequestStoreContract,
    make,
    queue,
    removed_all,
)
from polytope_server.user import User
from testbed.services import PostgreSQL

UNUSED = Path("unused")


def store_on(service: PostgreSQL, database: Database | None = None) -> SQLRequestStore:
    return SQLRequestStore(SQLSettings(url=service.url), UNUSED, database)


@pytest.fixture
async def store(postgresql: PostgreSQL) -> AsyncIterator[SQLRequestStore]:
    store = store_on(postgresql)
    await store.open()
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        for table in ("requests", "leases", "tombstones"):
            connection.execute(f"DELETE FROM {table}")
    yield store
    await store.close()


@pytest.fixture
def outside(postgresql: PostgreSQL) -> Iterator[psycopg.Connection]:
    """A connection of another program."""
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        yield connection


async def blocked(outside: psycopg.Connection) -> None:
    """Wait until a statement of the store waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    while outside.execute(waiting).fetchone() == (0,):  # noqa: ASYNC110 -- a condition of the server
        await asyncio.sleep(0.01)


class TestPostgreSQLRequestStore(RequestStoreContract):
    async def test_requests_outlive_the_process(self, store: SQLRequestStore, postgresql: PostgreSQL) -> None:
        request = make()
        await store.add(request)
        await store.close()
        other = store_on(postgresql, Database(postgresql.url))  # as another process would have it
        await other.open()
        assert await other.get(request.id) == request
        await other.close()
        await store.open()

    async def test_a_database_of_an_earlier_version_gets_the_columns_that_it_lacks(
        self, store: SQLRequestStore, postgresql: PostgreSQL, outside: psycopg.Connection
    ) -> None:
        request = make()
        outside.execute("ALTER TABLE requests DROP COLUMN sealed")
        outside.execute("UPDATE schema_versions SET version = 1 WHERE name = 'requests'")
        # As other processes would have it.
        others = [store_on(postgresql, Database(postgresql.url)) for _ in range(3)]
        await asyncio.gather(*(other.open() for other in others))
        await others[0].add(request)
        assert await others[1].get(request.id) == request
        # A process of the earlier version goes on.
        known = [name for name in to_row(request) if name not in ("id", "sealed")]
        columns = ", ".join(f'"{name}"' for name in known)
        outside.execute(f"INSERT INTO requests (id, {columns}) SELECT 'another', {columns} FROM requests")
        another = await others[1].get("another")
        assert another is not None
        assert another.sealed == ""
        await asyncio.gather(*(other.close() for other in others))

    async def test_any_text_comes_back(self, store: SQLRequestStore) -> None:
        awkward = 'a\x00b\x1a0\x1a1"\\\\u0000\ud7ff\U0001f600'
        request = make(
            User(awkward, awkward, (awkward,)),
            user_request=awkward,
            coerced_request={awkward: [awkward, 1e-300, 10**30]},
            user_message=awkward,
        )
        await store.add(request)
        assert await store.get(request.id) == request
        changed = await store.transition(request.id, Status.WAITING, 0, Status.FAILED, user_message=awkward)
        assert changed is not None
        assert changed.user_message == awkward
        assert await store.get("\x00") is None
        assert await store.existing(["\x00", request.id]) == {request.id}

    async def test_times_keep_all_their_digits(self, store: SQLRequestStore) -> None:
        request = make(timestamp=1_700_000_000.1234567, not_before=1_700_000_000.7654321)
        await store.add(request)
        found = await store.get(request.id)
        assert found is not None
        assert (found.timestamp, found.not_before) == (request.timestamp, request.not_before)

    async def test_of_many_who_add_an_id_one_succeeds(self, store: SQLRequestStore) -> None:
        request = make()
        outcomes = await asyncio.gather(*(store.add(request) for _ in range(20)), return_exceptions=True)
        assert sum(outcome is None for outcome in outcomes) == 1
        assert sum(isinstance(outcome, DuplicateRequestError) for outcome in outcomes) == 19

    async def test_statements_on_the_same_requests_never_wait_for_each_other(
        self, store: SQLRequestStore, outside: psycopg.Connection
    ) -> None:
        """Claims, renewals and removals of many in any order: no deadlock, each claimed once."""
        deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        before = outside.execute(deadlocks).fetchone()
        requests = [make(BOB if number % 2 else ALICE) for number in range(60)]
        for request in requests:
            await store.add(request)
        await queue(store, *requests)
        ids = [request.id for request in requests]

        async def claim(worker: str) -> list[Request]:
            found = []
            for start in range(0, 60, 20):
                chosen = random.sample(ids, 30) + ids[start : start + 20]
                found += await store.claim(chosen, worker, 60)
                await store.renew([(request.id, 1) for request in reversed(found)], worker, 60)
            return found

        claims, *removed = await asyncio.gather(
            asyncio.gather(*(claim(f"w{number}") for number in range(6))),
            *(removed_all(store, user.id, LIVE) for user in (ALICE, BOB)),
        )
        claimed = [request.id for found in claims for request in found]
        assert len(claimed) == len(set(claimed))
        assert sorted(request.id for found in removed for request in found) == sorted(ids)
        outside.execute("SELECT pg_stat_clear_snapshot()")
        assert outside.execute(deadlocks).fetchone() == before

    async def test_a_former_leader_that_comes_late_promotes_nothing(
        self, store: SQLRequestStore, outside: psycopg.Connection
    ) -> None:
        """The statement began while it led, and finds its lead taken when it gets there."""
        request = make()
        await store.add(request)
        term = await store.lead("broker", "former", -1)
        assert term is not None
        with outside.transaction():
            outside.execute("UPDATE leases SET holder = 'next', term = term + 1 WHERE name = 'broker'")
            promotion = asyncio.create_task(store.promote([request.id], "former", term))
            await blocked(outside)
        assert await promotion == set()
        found = await store.get(request.id)
        assert found is not None
        assert found.status is Status.WAITING

    async def test_a_lead_waits_for_a_promotion_under_way(
        self, store: SQLRequestStore, outside: psycopg.Connection
    ) -> None:
        request = make()
        await store.add(request)
        term = await store.lead("broker", "former", -1)
        assert term is not None
        with outside.transaction():
            # What the promotion of another process holds until it has committed.
            outside.execute("SELECT 1 FROM leases WHERE name = 'broker' FOR SHARE")
            lead = asyncio.create_task(store.lead("broker", "next", 60))
            await blocked(outside)
            outside.execute("UPDATE requests SET status = 'queued' WHERE id = %s", [request.id])
        assert await lead == term + 1
        assert [summary.id for summary in await store.active(0, 9)] == [request.id]

    async def test_leads_go_by_the_clock_of_the_server(
        self, store: SQLRequestStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert await store.lead("broker", "a", 60) is not None
        monkeypatch.setattr(time, "time", lambda: 4e9)
        assert await store.lead("broker", "b", 60) is None

    async def test_of_many_who_want_to_lead_one_does(self, store: SQLRequestStore) -> None:
        for _ in range(5):
            terms = await asyncio.gather(*(store.lead("broker", f"b{number}", -1) for number in range(8)))
            assert len({term for term in terms if term is not None}) == len(
                [term for term in terms if term is not None]
            )
        await store.lead("broker", "z", 60)
        found = await asyncio.gather(*(store.lead("broker", f"b{number}", 60) for number in range(8)))
        assert found == [None] * 8

    async def test_a_killed_server_is_found_again_when_it_is_back(
        self, tmp_path: Path, postgresql: PostgreSQL
    ) -> None:
        with PostgreSQL(tmp_path) as own:
            store = store_on(own)
            await store.open()
            requests = [make() for _ in range(20)]
            await asyncio.gather(*(store.add(request) for request in requests))
            own.kill()
            began = time.monotonic()
            for call in (store.find(), store.add(make()), store.lead("broker", "b", 9), store.count()):
                with pytest.raises(StoreUnavailableError, match=f"PostgreSQL at 127.0.0.1:{own.port}"):
                    await call
            assert time.monotonic() - began < 2
            own.start()
            found = await store.find()
            assert sorted(found, key=_id) == sorted(requests, key=_id)
            await store.close()


def _id(request: Request) -> str:
    return request.id


class Explained(Database):
    """Notes the plan of what the request store would run."""

    plan = ""

    async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
        rows = await super().read(f"EXPLAIN {sql}", parameters)
        self.plan = "\n".join(row[0] for row in rows)
        sums = sum(map(sql.count, ("count(", "min(", "sum(")))
        return [(0,) * sums] if sums else []

    async def read_first(self, sql: str, parameters: Parameters, size: int) -> list[Row]:
        return await self.read(sql, parameters)

    async def write(self, sql: str, parameters: Parameters | None = None) -> Outcome:
        return Outcome(await self.read(sql, parameters), 0)


async def plan_of(url: str, call: Callable[[SQLRequestStore], Awaitable[object]]) -> str:
    database = Explained(url)
    store = SQLRequestStore(SQLSettings(url=url), UNUSED, database)
    await store.open()
    await call(store)
    await store.close()
    return database.plan


_USER = User("u7", "r").id
_HEAVY = User("heavy", "r").id
_IDS = [str(number) for number in range(20)]
HOT: list[tuple[Callable[[SQLRequestStore], Awaitable[object]], str]] = [
    (lambda store: store.get("1"), "requests_id_key"),
    (lambda store: store.existing(_IDS), "requests_id_key"),
    (lambda store: store.transition("1", Status.WAITING, 0, Status.FAILED), "requests_id_key"),
    (lambda store: store.promote(_IDS, "b", 1), "requests_id_key"),
    (lambda store: store.claim(_IDS, "w", 60), "requests_id_key"),
    (lambda store: store.renew([(request_id, 1) for request_id in _IDS], "w", 60), "requests_id_key"),
    (lambda store: store.summaries(LIVE, _IDS), "requests_id_key"),
    (lambda store: store.remove("1", user_id=_USER), "requests_id_key"),
    (lambda store: store.find(user_id=_USER, collection="c"), "requests_owner"),
    (lambda store: store.count(user_id=_USER, statuses=LIVE), "requests_owner"),
    (lambda store: store.text_size(_USER, LIVE), "requests_owner"),
    (lambda store: store.expired(10), "requests_status"),
    (lambda store: store.count(statuses=[Status.WAITING]), "requests_status"),
    (lambda store: store.waiting(0, None, 20), "requests_waiting"),
    (lambda store: store.waiting(1000, 4000, 20), "requests_waiting"),
    (lambda store: store.digest(0, 4000, 100), "requests_waiting"),
    (lambda store: store.active(1000, 20), "requests_active"),
    (lambda store: store.stale(Status.FAILED, 5.0, 100), "requests_status"),
    (lambda store: store.results(_IDS), "requests_id_key"),
    (lambda store: store.touch("1"), "requests_status"),
    (lambda store: store.mark_downloaded(_IDS), "requests_id_key"),
    (lambda store: store.removable(_USER, 5.0, 10), "requests_results"),
]


#: Parts of the many requests of one user.
PARTS: list[Callable[[SQLRequestStore], Awaitable[object]]] = [
    lambda store: store.page(Selection(_HEAVY, after=10)),
    lambda store: store.page(Selection(_HEAVY, LIVE, until=8000)),
    lambda store: store.page(Selection(_HEAVY, collection="c")),
    lambda store: store.place(Selection(_HEAVY, TERMINAL), 20),
    lambda store: store.place(Selection(_HEAVY, TERMINAL, "c"), 20),
    lambda store: store.remove_page(Selection(_HEAVY, LIVE, until=8000)),
]


@pytest.fixture(scope="module")
def filled(postgresql: PostgreSQL) -> Iterator[str]:
    """A database of its own with 5000 requests of 100 users, as many of another; most are processed."""
    url = postgresql.url.replace("/polytope", "/filled")
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("CREATE DATABASE filled")
    asyncio.run(_fill(url))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ANALYZE")
    yield url
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("DROP DATABASE filled WITH (FORCE)")


async def _fill(url: str) -> None:
    database = Database(url)
    await database.open(SCHEMA)
    states = (
        [Status.PROCESSED] * 45 + [Status.FAILED] * 2 + [Status.WAITING, Status.QUEUED, Status.PROCESSING]
    )
    requests = [
        make(User(f"u{number % 100}", "r"), status=states[number % 50], timestamp=1e9 + number)
        for number in range(5000)
    ]
    for start in range(0, 5000, 500):
        rows = [(INSERT, to_row(request)) for request in requests[start : start + 500]]
        await database.write_all(rows)
    # Each once more, of another user and in several collections.
    own = ("id", "user_id", "collection", "last_modified")
    names = ", ".join(f'"{name}"' for name in to_row(requests[0]) if name not in own)
    collection = "substr('cde', CAST(sequence % 3 AS INTEGER) + 1, 1)"
    await database.write(
        f"INSERT INTO requests ({', '.join(own)}, {names}) "
        f"SELECT 'h' || id, :heavy, {collection}, 2e9, {names} FROM requests",
        {"heavy": _HEAVY},
    )
    await database.close()


@pytest.mark.parametrize(("call", "index"), HOT)
async def test_a_hot_query_uses_an_index(
    filled: str, call: Callable[[SQLRequestStore], Awaitable[object]], index: str
) -> None:
    plan = await plan_of(filled, call)
    assert index in plan
    assert "Seq Scan on requests" not in plan


@pytest.mark.parametrize("call", PARTS)
async def test_a_part_of_many_is_read_in_the_order_of_an_index(
    filled: str, call: Callable[[SQLRequestStore], Awaitable[object]]
) -> None:
    plan = await plan_of(filled, call)
    assert "requests_owner" in plan
    assert "Seq Scan" not in plan
    assert "Sort  " not in plan, plan


async def test_a_standby_does_not_say_what_exists(tmp_path: Path) -> None:
    with PostgreSQL(tmp_path) as service:
        store = SQLRequestStore(SQLSettings(url=service.url), UNUSED)
        await store.open()
        request = make()
        await store.add(request)
        service.kill()
        signal = service.folder / "data" / "standby.signal"
        signal.touch()
        if service.account:
            shutil.chown(signal, service.account)
        service.start()
        assert await store.get(request.id) == request
        for call in (store.existing, store.results):
            with pytest.raises(StoreUnavailableError, match="recovery"):
                await call([request.id])
        await store.close()
