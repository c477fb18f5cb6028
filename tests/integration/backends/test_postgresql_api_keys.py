import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.testing.api_keys import APIKeysContract
from polytope_server.testing.caching import PassTime
from polytope_server.user import User
from testbed.services import PostgreSQL

UNUSED = Path("unused")
ALICE = User("alice", "allowed")


class Clock:
    now = 1_700_000_000.123456

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


def keys_on(service: PostgreSQL, clock: Clock | None = None) -> SQLAPIKeys:
    settings = SQLAPIKeysSettings(url=service.url, allowed_realms=["allowed", "elsewhere"])
    keys = SQLAPIKeys(settings, UNUSED, clock=clock or Clock())
    keys.own_realm = "allowed"
    return keys


class TestPostgreSQLAPIKeys(APIKeysContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def pass_time(self, clock: Clock) -> PassTime:
        return clock.advance

    @pytest.fixture
    async def api_keys(self, postgresql: PostgreSQL, clock: Clock) -> AsyncIterator[SQLAPIKeys]:
        keys = keys_on(postgresql, clock)
        await keys.open()
        with psycopg.connect(postgresql.url, autocommit=True) as connection:
            connection.execute("DELETE FROM api_keys")
            yield keys
            connection.execute("DELETE FROM api_keys")
        await keys.close()

    async def test_the_server_does_not_hold_the_key(
        self, api_keys: SQLAPIKeys, postgresql: PostgreSQL
    ) -> None:
        key = (await api_keys.create(ALICE)).key
        with psycopg.connect(postgresql.url) as connection:
            (row,) = connection.execute("SELECT * FROM api_keys").fetchall()
        assert key not in str(row)
        assert bytes.fromhex(key.replace("-", "")) not in row

    async def test_many_keys_at_the_same_time(self, api_keys: SQLAPIKeys, pass_time: PassTime) -> None:
        for _ in range(2):  # the second time, each removes all that have ended
            made = await asyncio.gather(*(api_keys.create(ALICE) for _ in range(30)))
            found = await asyncio.gather(*(api_keys.verify(key.key) for key in made))
            assert found == [ALICE] * 30
            assert len(await api_keys.list_keys(ALICE)) == 30
            await pass_time(366 * 86400.0)

    async def test_a_prefix_that_no_database_takes_ends_nothing(self, api_keys: SQLAPIKeys) -> None:
        await api_keys.create(ALICE)
        for prefix in ("\x00", "%", "_", "\ud800", "' OR 1=1 --"):
            assert await api_keys.revoke(ALICE, prefix) == 0


async def test_a_server_that_is_down_is_told_and_used_again(
    tmp_path: Path, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    with PostgreSQL(tmp_path) as own:
        keys = keys_on(own)
        await keys.open()
        key = (await keys.create(ALICE)).key
        own.kill()
        with pytest.raises(AuthenticationUnavailableError):
            await keys.verify(key)
        with pytest.raises(AuthenticationUnavailableError):
            await keys.create(ALICE)
        assert key not in caplog.text
        own.start()
        assert await keys.verify(key) == ALICE
        await keys.close()
