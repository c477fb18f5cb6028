from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import argon2
import pytest
from pydantic import ValidationError

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users import UserExistsError
from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.testing.identity import StoredIdentityContract

CHEAP = argon2.PasswordHasher(1, 8, 1)
Make = Callable[..., SQLIdentity]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def make(passwords: Passwords | None = None, **keys: Any) -> SQLIdentity:
        settings = SQLIdentitySettings.model_validate({"realm": "r", **keys})
        return SQLIdentity(settings, tmp_path, passwords=passwords or Passwords(CHEAP), clock=lambda: 17.0)

    return make


class TestSQLIdentity(StoredIdentityContract):
    @pytest.fixture
    async def identity(self, make: Make) -> AsyncIterator[SQLIdentity]:
        identity = make()
        await identity.open()
        yield identity
        await identity.close()

    async def test_a_realm_sees_its_own_users_only(self, identity: SQLIdentity, make: Make) -> None:
        await identity.add_user("alice", "secret", ["a"])
        other = make(realm="other")
        await other.open()
        assert await other.list_users() == []
        assert await other.verify("alice", "secret") is None
        await other.close()

    async def test_the_file_does_not_hold_the_password(self, identity: SQLIdentity, tmp_path: Path) -> None:
        await identity.add_user("alice", "correct horse", ["a"])
        for file in tmp_path.iterdir():
            assert b"correct horse" not in file.read_bytes()

    async def test_the_time_of_creation_is_kept(self, identity: SQLIdentity) -> None:
        await identity.add_user("alice", "secret", [])
        assert (await identity.list_users())[0]["created"] == 17.0

    async def test_extra_users_are_added_once(self, identity: SQLIdentity, make: Make) -> None:
        hashed = CHEAP.hash("two")
        users = [
            {"uid": "one", "password": "one", "roles": ["a"]},
            {"uid": "two", "password": hashed},
        ]
        for _ in range(2):
            extra = make(**{"extra-users": users})
            await extra.open()
            await extra.close()
            users[0]["password"] = "changed later"
        assert await identity.verify("one", "one") == ["a"]
        assert await identity.verify("two", "two") == []

    async def test_one_that_cannot_add_its_users_leaves_nothing_open(
        self, make: Make, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def fail(user: object) -> bool:
            raise AuthenticationUnavailableError

        extra = make(**{"extra-users": [{"uid": "one", "password": "one"}]})
        monkeypatch.setattr(extra, "insert", fail)
        with pytest.raises(AuthenticationUnavailableError):
            await extra.open()
        with pytest.raises(AuthenticationUnavailableError):  # the database is not open
            await extra.list_users()

    async def test_of_two_who_add_at_a_time_one_is_refused(
        self, identity: SQLIdentity, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await identity.add_user("alice", "secret", [])

        async def find_none(username: str) -> None:
            return None

        monkeypatch.setattr(identity, "find", find_none)
        with pytest.raises(UserExistsError):
            await identity.add_user("alice", "secret", [])


@pytest.mark.parametrize(
    "user",
    [
        {"uid": "a:b", "password": "sesame"},
        {"uid": "a", "password": ""},
        {"uid": "a", "password": "$argon2id$sesame"},
        {"uid": "a", "password": "sesame", "roles": [""]},
    ],
)
def test_an_extra_user_who_could_not_log_in_is_refused(user: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        SQLIdentitySettings.model_validate({"realm": "r", "extra-users": [user]})
    assert "sesame" not in str(caught.value)


def test_settings_do_not_show_passwords() -> None:
    user = {"uid": "a", "password": "sesame"}
    assert "sesame" not in repr(SQLIdentitySettings.model_validate({"realm": "r", "extra-users": [user]}))
