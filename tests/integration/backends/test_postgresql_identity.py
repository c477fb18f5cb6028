import asyncio
import base64
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import argon2
import psycopg
import pytest

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users import UserExistsError
from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.sql import SQLAuthenticator, SQLAuthenticatorSettings
from polytope_server.authorization import Authorizer
from polytope_server.authorization.sql import SQLAuthorizer, SQLAuthorizerSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.testing.authorization import AuthorizerContract
from polytope_server.testing.identity import StoredIdentityContract
from polytope_server.user import User
from testbed.services import PostgreSQL

CHEAP = argon2.PasswordHasher(1, 8, 1)
UNUSED = Path("unused")


def identity_on(service: PostgreSQL, **keys: Any) -> SQLIdentity:
    settings = SQLIdentitySettings.model_validate({"url": service.url, "realm": "r", **keys})
    return SQLIdentity(settings, UNUSED, passwords=Passwords(CHEAP), clock=lambda: 1_700_000_000.123456)


@pytest.fixture
async def identity(postgresql: PostgreSQL) -> AsyncIterator[SQLIdentity]:
    identity = identity_on(postgresql)
    await identity.open()
    with psycopg.connect(postgresql.url, autocommit=True) as connection:
        connection.execute("DELETE FROM users")
        yield identity
        connection.execute("DELETE FROM users")
    await identity.close()


async def with_another_realm(service: PostgreSQL, password: str, roles: list[str]) -> None:
    """Adds an `alice` to the realm `other`."""
    other = identity_on(service, realm="other")
    await other.open()
    await other.add_user("alice", password, roles)
    await other.close()


class TestPostgreSQLIdentity(StoredIdentityContract):
    async def test_a_realm_sees_its_own_users_only(
        self, identity: SQLIdentity, postgresql: PostgreSQL
    ) -> None:
        await identity.add_user("alice", "secret", ["a"])
        await with_another_realm(postgresql, "other", ["b"])
        assert [user["roles"] for user in await identity.list_users()] == [["a"]]
        assert await identity.verify("alice", "other") is None
        assert await identity.verify("alice", "secret") == ["a"]

    async def test_the_server_does_not_hold_the_password(
        self, identity: SQLIdentity, postgresql: PostgreSQL
    ) -> None:
        await identity.add_user("alice", "correct horse", ["a"])
        with psycopg.connect(postgresql.url) as connection:
            rows = connection.execute("SELECT * FROM users").fetchall()
        assert "correct horse" not in str(rows)
        assert "$argon2id$" in str(rows)

    async def test_the_time_of_creation_is_kept(self, identity: SQLIdentity) -> None:
        await identity.add_user("alice", "secret", [])
        assert (await identity.list_users())[0]["created"] == 1_700_000_000.123456

    async def test_extra_users_are_added_once(self, identity: SQLIdentity, postgresql: PostgreSQL) -> None:
        users: list[dict[str, Any]] = [{"uid": f"u{number}", "password": "one"} for number in range(5)]
        for password in ("one", "changed later"):
            users[0]["password"] = password
            several = [identity_on(postgresql, **{"extra-users": users}) for _ in range(5)]
            await asyncio.gather(*(extra.open() for extra in several))
            await asyncio.gather(*(extra.close() for extra in several))
        assert len(await identity.list_users()) == 5
        assert await identity.verify("u0", "one") == []

    async def test_of_many_who_add_at_a_time_one_succeeds(self, identity: SQLIdentity) -> None:
        added = await asyncio.gather(
            *(identity.add_user("alice", str(number), []) for number in range(8)), return_exceptions=True
        )
        assert [type(outcome) for outcome in added].count(UserExistsError) == 7
        winner = next(number for number, outcome in enumerate(added) if outcome is None)
        assert await identity.verify("alice", str(winner)) == []


async def test_a_server_that_is_down_is_told_and_used_again(
    tmp_path: Path, postgresql: PostgreSQL, caplog: pytest.LogCaptureFixture
) -> None:
    with PostgreSQL(tmp_path) as own:
        identity = identity_on(own, **{"extra-users": [{"uid": "alice", "password": "s3cr3t"}]})
        own.kill()
        for _ in range(2):
            with pytest.raises(AuthenticationUnavailableError):
                await identity.open()
        own.start()
        await identity.open()
        own.kill()
        began = time.monotonic()
        with pytest.raises(AuthenticationUnavailableError) as caught:
            await identity.verify("alice", "s3cr3t")
        assert time.monotonic() - began < 1
        assert str(own.port) not in str(caught.value)
        assert f"PostgreSQL at 127.0.0.1:{own.port}" in caplog.text
        assert "s3cr3t" not in caplog.text
        assert own.password not in caplog.text
        own.start()
        assert await identity.verify("alice", "s3cr3t") == []
        await identity.close()


class TestPostgreSQLAuthenticator(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(
        self, identity: SQLIdentity, postgresql: PostgreSQL
    ) -> AsyncIterator[Authenticator]:
        await identity.add_user("alice", "r-password", ["some-role"])
        await with_another_realm(postgresql, "other-password", [])
        settings = SQLAuthenticatorSettings(url=postgresql.url)
        authenticator = SQLAuthenticator("r", settings, UNUSED, passwords=Passwords(CHEAP))
        await authenticator.open()
        yield authenticator
        await authenticator.close()

    @pytest.fixture
    def right(self) -> str:
        return basic("alice", "r-password")

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "r")

    @pytest.fixture
    def wrong(self) -> list[str]:
        pairs = [("alice", "other-password"), ("alice", ""), ("Alice", "r-password"), ("a\x00", "r-password")]
        return [basic(*pair) for pair in pairs]


def basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


class TestPostgreSQLAuthorizer(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, identity: SQLIdentity, postgresql: PostgreSQL) -> AsyncIterator[Authorizer]:
        await identity.add_user("alice", "secret", ["reader"])
        await with_another_realm(postgresql, "secret", ["other"])
        authorizer = SQLAuthorizer("r", SQLAuthorizerSettings(url=postgresql.url), UNUSED)
        await authorizer.open()
        yield authorizer
        await authorizer.close()

    @pytest.fixture
    def member(self) -> User:
        return User("alice", "r")

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "r", ("default", "reader"))
