import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import argon2
import pytest
from pydantic import ValidationError

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users import UserExistsError
from polytope_server.accounts.users.mongodb import MongoDBIdentity, MongoDBIdentitySettings
from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.mongodb import MongoDBAuthenticator, MongoDBAuthenticatorSettings
from polytope_server.authorization import Authorizer
from polytope_server.authorization.mongodb import MongoDBAuthorizer, MongoDBAuthorizerSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.testing.authorization import AuthorizerContract
from polytope_server.testing.identity import StoredIdentityContract
from polytope_server.user import User
from testbed.services import MongoDB

# A connection that the driver gives up while it is made is closed by the garbage collection only.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
CHEAP = argon2.PasswordHasher(1, 8, 1)
UNUSED = Path("unused")
Make = Callable[..., MongoDBIdentity]


def identity_on(service: MongoDB, passwords: Passwords | None = None, **keys: Any) -> MongoDBIdentity:
    settings = MongoDBIdentitySettings.model_validate({"uri": service.uri, "realm": "r", **keys})
    return MongoDBIdentity(settings, UNUSED, passwords=passwords or Passwords(CHEAP), clock=lambda: 17.0)


def documents(service: MongoDB) -> list[dict[str, Any]]:
    with service.client() as client:
        return list(client.polytope.users.find())


@pytest.fixture
async def identity(mongodb: MongoDB) -> AsyncIterator[MongoDBIdentity]:
    identity = identity_on(mongodb)
    with mongodb.client() as client:
        client.drop_database("polytope")
    await identity.open()
    yield identity
    await identity.close()
    with mongodb.client() as client:
        client.drop_database("polytope")


class TestMongoDBIdentity(StoredIdentityContract):
    async def test_a_realm_sees_its_own_users_only(self, identity: MongoDBIdentity, mongodb: MongoDB) -> None:
        await identity.add_user("alice", "secret", ["a"])
        for realm in ("q", "r2", "s"):
            other = identity_on(mongodb, realm=realm)
            await other.open()
            await other.add_user("alice", "other", ["b"])
            assert len(await other.list_users()) == 1
            assert await other.verify("alice", "secret") is None
            await other.close()
        assert [user["roles"] for user in await identity.list_users()] == [["a"]]
        assert await identity.verify("alice", "secret") == ["a"]

    async def test_the_server_does_not_hold_the_password(
        self, identity: MongoDBIdentity, mongodb: MongoDB
    ) -> None:
        await identity.add_user("alice", "correct horse", ["a"])
        (document,) = documents(mongodb)
        assert "correct horse" not in str(document)
        assert document["password"].startswith("$argon2id$")

    async def test_the_time_of_creation_is_kept(self, identity: MongoDBIdentity) -> None:
        await identity.add_user("alice", "secret", [])
        assert (await identity.list_users())[0]["created"] == 17.0

    async def test_extra_users_are_added_once(self, identity: MongoDBIdentity, mongodb: MongoDB) -> None:
        users = [
            {"uid": "one", "password": "one", "roles": ["a"]},
            {"uid": "two", "password": CHEAP.hash("two")},
        ]
        for _ in range(2):
            extra = identity_on(mongodb, **{"extra-users": users})
            await extra.open()
            await extra.close()
            users[0]["password"] = "changed later"
        assert await identity.verify("one", "one") == ["a"]
        assert await identity.verify("two", "two") == []

    async def test_of_many_who_add_at_a_time_one_succeeds(self, identity: MongoDBIdentity) -> None:
        added = await asyncio.gather(
            *(identity.add_user("alice", str(number), []) for number in range(8)), return_exceptions=True
        )
        assert [type(outcome) for outcome in added].count(UserExistsError) == 7
        winner = next(number for number, outcome in enumerate(added) if outcome is None)
        assert await identity.verify("alice", str(winner)) == []

    async def test_users_of_the_earlier_server_are_left_alone(
        self, identity: MongoDBIdentity, mongodb: MongoDB
    ) -> None:
        earlier = {"username": "alice", "password": "$pbkdf2-sha512$...", "realm": "r", "roles": ["admin"]}
        with mongodb.client() as client:
            client.polytope.users.insert_many([dict(earlier), dict(earlier)])
        assert await identity.list_users() == []
        assert await identity.verify("alice", "$pbkdf2-sha512$...") is None
        await identity.add_user("alice", "secret", [])
        await identity.remove_user("alice")
        assert len(documents(mongodb)) == 2

    async def test_names_are_no_operators(self, identity: MongoDBIdentity) -> None:
        await identity.add_user("alice", "secret", [])
        await identity.add_user("$ne", "other", ["$role"])
        assert await identity.verify("$ne", "secret") is None
        assert await identity.verify("$ne", "other") == ["$role"]


async def test_a_server_that_is_down_is_told_and_used_again(
    own_mongodb: MongoDB, caplog: pytest.LogCaptureFixture
) -> None:
    identity = identity_on(own_mongodb)
    await identity.open()
    await identity.add_user("alice", "s3cr3t", ["a"])
    own_mongodb.kill()
    began = time.monotonic()
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await identity.verify("alice", "s3cr3t")
    assert time.monotonic() - began < 5
    assert str(own_mongodb.port) not in str(caught.value)
    assert str(own_mongodb.port) in caplog.text
    assert "s3cr3t" not in caplog.text
    own_mongodb.start()
    async with asyncio.timeout(10):
        assert await identity.verify("alice", "s3cr3t") == ["a"]
    await identity.close()


async def test_it_opens_when_the_server_is_there(own_mongodb: MongoDB) -> None:
    own_mongodb.kill()
    identity = identity_on(own_mongodb, **{"extra-users": [{"uid": "alice", "password": "secret"}]})
    with pytest.raises(AuthenticationUnavailableError):
        await identity.verify("alice", "secret")
    with pytest.raises(AuthenticationUnavailableError):
        await identity.open()
    own_mongodb.start()
    await identity.open()
    assert await identity.verify("alice", "secret") == []
    await identity.close()


async def test_an_account_that_is_refused_is_told_without_its_password(
    tmp_path: Path, mongodb: MongoDB, caplog: pytest.LogCaptureFixture
) -> None:
    with MongoDB(tmp_path, auth=True) as service:
        right = identity_on(service, username=service.user, password=service.password)
        await right.open()
        await right.add_user("alice", "secret", [])
        await right.close()
        wrong = identity_on(service, username=service.user, password="s3cr3t")
        with pytest.raises(AuthenticationUnavailableError):
            await wrong.open()
    assert "Authentication failed" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_the_keys_of_the_earlier_server() -> None:
    keys = {"host": "mongodb", "port": "27018", "collection": "people", "realm": "r", "extra-users": []}
    assert MongoDBIdentitySettings.model_validate(keys).uri == "mongodb://mongodb:27018"
    keys["host"] = "mongodb://mongodb"
    assert MongoDBIdentitySettings.model_validate(keys).uri == "mongodb://mongodb:27018"


def test_settings_do_not_show_passwords() -> None:
    keys = {"realm": "r", "extra-users": [{"uid": "a", "password": "sesame"}], "password": "sesame"}
    assert "sesame" not in repr(MongoDBIdentitySettings.model_validate({**keys, "username": "u"}))
    with pytest.raises(ValidationError) as caught:
        MongoDBIdentitySettings.model_validate(keys)
    assert "sesame" not in str(caught.value)


def basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


class TestMongoDBAuthenticator(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(
        self, identity: MongoDBIdentity, mongodb: MongoDB
    ) -> AsyncIterator[Authenticator]:
        await identity.add_user("alice", "r-password", ["some-role"])
        other = identity_on(mongodb, realm="other")
        await other.open()
        await other.add_user("alice", "other-password", [])
        await other.close()
        # As the earlier server's authenticator wrote its address.
        host, port = "mongodb://" + mongodb.host, str(mongodb.port)
        settings = MongoDBAuthenticatorSettings.model_validate({"host": host, "port": port})
        authenticator = MongoDBAuthenticator("r", settings, UNUSED)
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
        pairs = [("alice", "other-password"), ("alice", ""), ("Alice", "r-password"), ("", "r-password")]
        return [basic(*pair) for pair in pairs]

    async def test_roles_are_left_to_the_authorizer(self, authenticator: Authenticator, right: str) -> None:
        user = await authenticator.authenticate(right)
        assert user is not None
        assert user.roles == ("default",)


class TestMongoDBAuthorizer(AuthorizerContract):
    @pytest.fixture
    async def authorizer(self, identity: MongoDBIdentity, mongodb: MongoDB) -> AsyncIterator[Authorizer]:
        await identity.add_user("alice", "secret", ["reader", "r"])
        other = identity_on(mongodb, realm="other")
        await other.open()
        await other.add_user("alice", "secret", ["other"])
        await other.close()
        authorizer = MongoDBAuthorizer("r", MongoDBAuthorizerSettings(uri=mongodb.uri), UNUSED)
        await authorizer.open()
        yield authorizer
        await authorizer.close()

    @pytest.fixture
    def member(self) -> User:
        return User("alice", "r")

    @pytest.fixture
    def expected(self, member: User) -> User:
        return member.with_roles(["reader", "r"])
