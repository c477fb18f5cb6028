import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from polytope_server.drivers.sql import Parameters, Row
from polytope_server.drivers.sql.address import SQLSettings
from polytope_server.drivers.sql.sqlite import SQLite, SQLiteDialect
from polytope_server.request import Status
from polytope_server.request_store import RequestStore, Selection, StoreUnavailableError
from polytope_server.request_store.memory import MemoryRequestStore, MemoryRequestStoreSettings
from polytope_server.request_store.sql import SQLRequestStore
from polytope_server.request_store.sql.rows import SCHEMA, conditions, selected, to_row
from polytope_server.testing.request_store import RequestStoreContract, make


class TestMemoryRequestStore(RequestStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[RequestStore]:
        store = MemoryRequestStore(MemoryRequestStoreSettings(), tmp_path)
        await store.open()
        yield store
        await store.close()


def plan_of(folder: Path, sql: str, parameters: Parameters | None = None) -> list[str]:
    """The steps by which SQLite would answer a query of the store in that folder."""
    with closing(sqlite3.connect(folder / "polytope.sqlite")) as connection:
        return [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", parameters or {})]


#: Indexes that version 3 of the table has added.
_OF_VERSION_3 = (
    *("requests_owner", "requests_owner_collection", "requests_waiting", "requests_active"),
    "requests_results",
)


class TestSQLRequestStore(RequestStoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[RequestStore]:
        store = SQLRequestStore(SQLSettings(), tmp_path)
        await store.open()
        yield store
        await store.close()

    async def test_requests_outlive_the_process(self, tmp_path: Path) -> None:
        request = make()
        first = SQLRequestStore(SQLSettings(), tmp_path)
        await first.open()
        await first.add(request)
        await first.close()
        second = SQLRequestStore(SQLSettings(), tmp_path)
        await second.open()
        assert await second.get(request.id) == request
        await second.close()

    async def test_a_database_of_an_earlier_version_gets_the_columns_that_it_lacks(
        self, tmp_path: Path
    ) -> None:
        request = make()
        with closing(sqlite3.connect(tmp_path / "polytope.sqlite")) as earlier:
            for statement in SCHEMA.statements(SQLiteDialect()):
                earlier.execute(statement)
            row = to_row(request)
            for column in SCHEMA.added:
                row.pop(column.name, None)
            names = ", ".join(f'"{name}"' for name in row)
            insert = f"INSERT INTO requests ({names}) VALUES ({', '.join(f':{name}' for name in row)})"
            earlier.execute(insert, row)
            earlier.commit()
            stores = [SQLRequestStore(SQLSettings(), tmp_path) for _ in range(2)]
            for store in stores:
                await store.open()
            assert await stores[0].get(request.id) == request
            # A process of the earlier version goes on.
            earlier.execute(insert, row | {"id": "another"})
            earlier.commit()
            another = await stores[0].get("another")
            assert another is not None
            assert (another.sealed, another.lost_leases, another.via) == ("", 0, ())
            for store in stores:
                await store.close()

    async def test_a_database_of_version_2_gets_the_indexes_that_it_lacks(self, tmp_path: Path) -> None:
        store = SQLRequestStore(SQLSettings(), tmp_path)
        await store.open()
        await store.close()
        with closing(sqlite3.connect(tmp_path / "polytope.sqlite")) as earlier:
            for index in _OF_VERSION_3:
                earlier.execute(f"DROP INDEX {index}")
            earlier.execute("CREATE INDEX requests_user ON requests (user_id, status)")
            earlier.execute("UPDATE schema_versions SET version = 2")
            earlier.commit()
            await store.open()
            names = {row[0] for row in earlier.execute("SELECT name FROM pragma_index_list('requests')")}
            await store.close()
        assert names - {"sqlite_autoindex_requests_1"} == {"requests_status", *_OF_VERSION_3}

    async def test_no_query_of_the_hot_path_scans_the_table(
        self, store: SQLRequestStore, tmp_path: Path
    ) -> None:
        plans = {
            "SELECT * FROM requests WHERE id = 'x'": "sqlite_autoindex_requests_1",
            "SELECT * FROM requests WHERE user_id = 'x' AND status IN ('waiting')": "requests_owner",
            "SELECT * FROM requests WHERE status = 'processing' AND lease_until < 1": "requests_status",
            "SELECT count(*) FROM requests WHERE status IN ('waiting')": "requests_status",
            "SELECT * FROM requests WHERE status IN ('failed') AND last_modified < 1": "requests_status",
        }
        where, _ = conditions(SQLiteDialect(), ids=["a", "b"], statuses=[Status.WAITING])
        plans[f"SELECT * FROM requests WHERE {where}".replace(":ids", "'[]'")] = "sqlite_autoindex_requests_1"
        for query, index in plans.items():
            (step, *_) = plan_of(tmp_path, query)
            assert index in step, query

    @pytest.mark.parametrize("collection", [None, "c"])
    @pytest.mark.parametrize(
        ("columns", "order"), [("id, sequence", "sequence"), ("sequence", "sequence DESC")]
    )
    async def test_a_page_is_read_in_the_order_of_an_index(
        self, store: SQLRequestStore, tmp_path: Path, columns: str, order: str, collection: str | None
    ) -> None:
        selection = Selection("x", frozenset(Status), collection, until=9)
        sql, parameters = selected(SQLiteDialect(), columns, selection, 100, order)
        plan = plan_of(tmp_path, sql, parameters)
        index = "requests_owner" if collection is None else "requests_owner_collection"
        searches = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
        assert len(searches) == len(Status)
        assert all(f"INDEX {index} (user_id=? " in step and "sequence>?" in step for step in searches), plan
        assert not any("TEMP B-TREE" in step for step in plan), plan

    async def test_a_store_that_cannot_be_opened_says_so(self, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("not a folder")
        store = SQLRequestStore(SQLSettings(url=f"sqlite:///{blocked}/requests.sqlite"), tmp_path)
        with pytest.raises(StoreUnavailableError, match="cannot open the database"):
            await store.open()

    async def test_a_closed_store_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StoreUnavailableError, match="not open"):
            await SQLRequestStore(SQLSettings(), tmp_path).get("x")


async def test_sums_and_choices_of_the_collector_read_an_index_only(tmp_path: Path) -> None:
    class Explained(SQLite):
        async def read(self, sql: str, parameters: Parameters | None = None) -> list[Row]:
            if opened:
                plans.append(plan_of(tmp_path, sql, parameters))
                return []
            return await super().read(sql, parameters)

    plans: list[list[str]] = []
    opened = False
    store = SQLRequestStore(SQLSettings(), tmp_path, Explained(tmp_path / "polytope.sqlite"))
    await store.open()
    opened = True
    await store.usage(10)
    await store.removable("u", 1.0, 10)
    await store.close()
    assert len(plans) == 2
    for plan in plans:
        assert "USING COVERING INDEX requests_results" in plan[0], plan
        assert not any("TEMP B-TREE" in line for line in plan), plan
