import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from polytope_server.accounts.api_keys import InvalidExpiryError
from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.accounts.sql_database import CredentialDatabase
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.drivers.sql import Outcome, Parameters
from polytope_server.testing.api_keys import APIKeysContract
from polytope_server.testing.caching import PassTime
from polytope_server.user import User

DAY = 86400.0


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


class TestSQLAPIKeys(APIKeysContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def pass_time(self, clock: Clock) -> PassTime:
        return clock.advance

    @pytest.fixture
    async def api_keys(self, tmp_path: Path, clock: Clock) -> AsyncIterator[SQLAPIKeys]:
        keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["allowed", "elsewhere"]), tmp_path, clock=clock)
        keys.own_realm = "allowed"
        await keys.open()
        yield keys
        await keys.close()

    async def test_the_file_does_not_hold_the_key(self, api_keys: SQLAPIKeys, tmp_path: Path) -> None:
        key = (await api_keys.create(User("alice", "allowed"))).key
        await api_keys.verify(key)
        for file in tmp_path.iterdir():
            assert key.encode() not in file.read_bytes()

    async def test_the_keys_of_a_realm_are_read_in_pages(
        self, api_keys: SQLAPIKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("polytope_server.accounts.api_keys.sql._PAGE", 2)
        names = ["alice"] * 3 + ["bob"] * 2 + ["carol"]
        for name in reversed(names):
            await api_keys.create(User(name, "allowed"))
        assert [entry["username"] async for entry in api_keys.list_realm("allowed")] == names

    async def test_keys_of_users_whom_others_keep_end_sooner(self, api_keys: SQLAPIKeys) -> None:
        elsewhere = User("alice", "elsewhere")
        made = await api_keys.create(elsewhere)
        (entry,) = await api_keys.list_keys(elsewhere)
        assert 90 * DAY - 60 < made.expires.timestamp() - entry["created"] <= 90 * DAY
        with pytest.raises(InvalidExpiryError, match="1 to 90 days"):
            await api_keys.create(elsewhere, 91)

    async def test_an_expiry_of_the_configuration_is_that_of_every_realm(
        self, tmp_path: Path, clock: Clock
    ) -> None:
        keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["r"], expiry=400), tmp_path, clock=clock)
        await keys.open()
        made = await keys.create(User("alice", "r"))
        assert 400 * DAY - 60 < made.expires.timestamp() - clock.now <= 400 * DAY
        await keys.close()

    async def test_by_default_no_realm_gets_keys(self, tmp_path: Path) -> None:
        assert SQLAPIKeysSettings().allowed_realms == []

    async def test_a_full_disk_does_not_refuse_a_key(self, tmp_path: Path) -> None:
        class Full(CredentialDatabase):
            """Notes no use of a key; a new key is written in another way."""

            failed = 0

            async def write(self, sql: str, parameters: Parameters) -> Outcome:
                self.failed += 1
                raise AuthenticationUnavailableError

        database = Full(None, tmp_path)
        api_keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["allowed"]), tmp_path, database=database)
        await api_keys.open()
        key = (await api_keys.create(User("alice", "allowed"))).key
        assert await api_keys.verify(key) == User("alice", "allowed")
        assert database.failed == 1
        await api_keys.close()

    async def test_a_damaged_database_is_told_without_its_path(
        self, api_keys: SQLAPIKeys, tmp_path: Path
    ) -> None:
        with sqlite3.connect(tmp_path / "polytope.sqlite") as connection:
            connection.execute("DROP TABLE api_keys")
        connection.close()
        with pytest.raises(AuthenticationUnavailableError) as caught:
            await api_keys.verify("x")
        assert str(tmp_path) not in str(caught.value)
