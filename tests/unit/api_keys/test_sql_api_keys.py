import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.testing.api_keys import APIKeysContract
from polytope_server.testing.caching import PassTime
from polytope_server.user import User


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
        keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["allowed"]), tmp_path, clock=clock)
        await keys.open()
        yield keys
        await keys.close()

    async def test_the_file_does_not_hold_the_key(self, api_keys: SQLAPIKeys, tmp_path: Path) -> None:
        key = (await api_keys.create(User("alice", "allowed"))).key
        await api_keys.verify(key)
        for file in tmp_path.iterdir():
            assert key.encode() not in file.read_bytes()

    async def test_by_default_no_realm_gets_keys(self, tmp_path: Path) -> None:
        assert SQLAPIKeysSettings().allowed_realms == []

    async def test_a_full_disk_does_not_refuse_a_key(
        self, api_keys: SQLAPIKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = (await api_keys.create(User("alice", "allowed"))).key

        async def fail(*_: Any) -> None:
            raise AuthenticationUnavailableError

        monkeypatch.setattr(api_keys._database, "write", fail)
        assert await api_keys.verify(key) == User("alice", "allowed")

    async def test_a_damaged_database_is_told_without_its_path(
        self, api_keys: SQLAPIKeys, tmp_path: Path
    ) -> None:
        with sqlite3.connect(tmp_path / "polytope.sqlite") as connection:
            connection.execute("DROP TABLE api_keys")
        connection.close()
        with pytest.raises(AuthenticationUnavailableError) as caught:
            await api_keys.verify("x")
        assert str(tmp_path) not in str(caught.value)
