import asyncio
import hashlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from polytope_server.accounts.api_keys.mongodb import MongoDBAPIKeys, MongoDBAPIKeysSettings
from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.configuration import authenticators
from polytope_server.settings import Settings
from polytope_server.testing.api_keys import APIKeysContract
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.testing.caching import PassTime
from polytope_server.user import User
from testbed.services import MongoDB

# A connection that the driver gives up while it is made is closed by the garbage collection only.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
ALICE = User("alice", "allowed")
DAY = 86400.0


class Clock:
    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    async def advance(self, seconds: float) -> None:
        self.now += seconds


def keys_on(service: MongoDB, clock: Clock | None = None) -> MongoDBAPIKeys:
    settings = MongoDBAPIKeysSettings(uri=service.uri, allowed_realms=["allowed", "elsewhere"])
    keys = MongoDBAPIKeys(settings, Path("unused"), clock=clock or Clock())
    keys.own_realm = "allowed"
    return keys


class TestMongoDBAPIKeys(APIKeysContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def pass_time(self, clock: Clock) -> PassTime:
        return clock.advance

    @pytest.fixture
    async def api_keys(self, mongodb: MongoDB, clock: Clock) -> AsyncIterator[MongoDBAPIKeys]:
        keys = keys_on(mongodb, clock)
        with mongodb.client() as client:
            client.drop_database("polytope")
        await keys.open()
        yield keys
        await keys.close()
        with mongodb.client() as client:
            client.drop_database("polytope")

    async def test_the_server_does_not_hold_the_key(self, api_keys: MongoDBAPIKeys, mongodb: MongoDB) -> None:
        key = (await api_keys.create(ALICE)).key
        await api_keys.verify(key)
        with mongodb.client() as client:
            (document,) = client.polytope["keys"].find()
        assert document["_id"] == hashlib.sha256(key.encode()).digest()
        assert key not in str(document)

    async def test_by_default_no_realm_gets_keys(self) -> None:
        assert MongoDBAPIKeysSettings().allowed_realms == []

    async def test_what_has_ended_is_removed_with_the_next_key(
        self, api_keys: MongoDBAPIKeys, mongodb: MongoDB, pass_time: PassTime
    ) -> None:
        await api_keys.create(ALICE)
        await pass_time(366 * DAY)
        await api_keys.create(User("bob", "allowed"))
        with mongodb.client() as client:
            assert [found["username"] for found in client.polytope["keys"].find()] == ["bob"]

    async def test_of_many_made_at_a_time_no_more_than_allowed_stay(self, api_keys: MongoDBAPIKeys) -> None:
        made = await asyncio.gather(*(api_keys.create(ALICE) for _ in range(120)))
        assert len(await api_keys.list_keys(ALICE)) == 100
        valid = [key for key in made if await api_keys.verify(key.key) is not None]
        assert len(valid) == 100

    async def test_a_use_that_cannot_be_noted_does_not_refuse_the_key(
        self, api_keys: MongoDBAPIKeys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        key = (await api_keys.create(ALICE)).key

        async def fail(*arguments: Any) -> None:
            raise AuthenticationUnavailableError

        monkeypatch.setattr(api_keys, "note_use", fail)
        assert await api_keys.verify(key) == ALICE

    async def test_a_later_use_is_not_undone_by_an_earlier_one(
        self, api_keys: MongoDBAPIKeys, clock: Clock
    ) -> None:
        key = (await api_keys.create(ALICE)).key
        digest = hashlib.sha256(key.encode()).digest()
        await api_keys.note_use(digest, clock.now + 20)
        await api_keys.note_use(digest, clock.now + 10)
        (entry,) = await api_keys.list_keys(ALICE)
        assert entry["last_used"] == clock.now + 20

    @pytest.mark.parametrize("prefix", ["\ud800", "é", "$ne"])
    async def test_a_prefix_that_no_key_has_revokes_nothing(
        self, api_keys: MongoDBAPIKeys, prefix: str
    ) -> None:
        await api_keys.create(ALICE)
        assert await api_keys.revoke(ALICE, prefix) == 0

    async def test_keys_of_the_earlier_server_are_left_alone(
        self, api_keys: MongoDBAPIKeys, mongodb: MongoDB
    ) -> None:
        earlier = {"key": "k", "username": "bob", "realm": "allowed", "expires": "2001-01-01T00:00:00Z"}
        with mongodb.client() as client:
            client.polytope["keys"].insert_many([dict(earlier), dict(earlier)])
        assert await api_keys.verify("k") is None
        assert await api_keys.list_keys(User("bob", "allowed")) == []
        await api_keys.create(ALICE)
        with mongodb.client() as client:
            assert client.polytope["keys"].count_documents({"key": "k"}) == 2

    async def test_every_query_uses_an_index(self, api_keys: MongoDBAPIKeys, mongodb: MongoDB) -> None:
        owned = {"realm": "allowed", "username": "alice"}
        with mongodb.client() as client:
            keys = client.polytope["keys"]
            ordered = keys.find(owned).sort([("created", -1), ("sequence", -1)]).explain()
            ended = keys.find({"expires": {"$lte": 1.0}}).explain()
        for plan in (ordered, ended):
            assert plan["queryPlanner"]["winningPlan"]["inputStage"]["stage"] == "IXSCAN"


async def test_a_server_that_is_down_is_told_and_used_again(
    own_mongodb: MongoDB, caplog: pytest.LogCaptureFixture
) -> None:
    keys = keys_on(own_mongodb)
    await keys.open()
    key = (await keys.create(ALICE)).key
    own_mongodb.kill()
    began = time.monotonic()
    with pytest.raises(AuthenticationUnavailableError) as caught:
        await keys.verify(key)
    assert time.monotonic() - began < 5
    assert str(own_mongodb.port) not in str(caught.value)
    assert str(own_mongodb.port) in caplog.text
    assert key not in caplog.text
    own_mongodb.start()
    async with asyncio.timeout(10):
        assert await keys.verify(key) == ALICE
    await keys.close()


async def test_it_opens_when_the_server_is_there(own_mongodb: MongoDB) -> None:
    own_mongodb.kill()
    keys = keys_on(own_mongodb)
    with pytest.raises(AuthenticationUnavailableError):
        await keys.open()
    own_mongodb.start()
    await keys.open()
    assert await keys.verify((await keys.create(ALICE)).key) == ALICE
    await keys.close()


class TestMongoAPIKeyAuthenticator(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(self, mongodb: MongoDB) -> AsyncIterator[Authenticator]:
        # As the earlier server's authenticator wrote its address.
        keys = {"type": "mongoapikey", "host": mongodb.host, "port": str(mongodb.port), "collection": "keys"}
        settings = Settings.model_validate({"authentication": {"polytope": {"authenticators": {"k": keys}}}})
        (authenticator,) = authenticators(settings, Path("unused"))
        await authenticator.open()
        yield authenticator
        await authenticator.close()
        with mongodb.client() as client:
            client.drop_database("polytope")

    @pytest.fixture
    async def right(self, mongodb: MongoDB) -> AsyncIterator[str]:
        generator = keys_on(mongodb, Clock(time.time()))
        await generator.open()
        yield (await generator.create(ALICE)).key
        await generator.close()

    @pytest.fixture
    def expected(self) -> User:
        return ALICE

    @pytest.fixture
    def wrong(self, right: str) -> list[str]:
        return [right.upper(), right[:-1], right + "0", "00000000-0000-4000-8000-000000000000"]

    async def test_it_is_the_same_as_that_of_the_section_api_keys(
        self, mongodb: MongoDB, right: str, authenticator: Authenticator
    ) -> None:
        keys = {"type": "mongoapikey", "host": mongodb.host, "port": str(mongodb.port), "collection": "keys"}
        (other,) = authenticators(
            Settings.model_validate({"api-keys": {"authenticator": keys}}), Path("unused")
        )
        await other.open()
        assert await other.authenticate(right) == await authenticator.authenticate(right) == ALICE
        assert (other.scheme, other.realm) == (authenticator.scheme, authenticator.realm)
        await other.close()


def test_the_keys_of_the_earlier_server() -> None:
    generator = {"host": "mongodb", "port": 27017, "collection": "keys", "allowed_realms": ["r"]}
    assert MongoDBAPIKeysSettings.model_validate(generator).allowed_realms == ["r"]
    authenticator = {"host": "mongodb://mongodb", "port": "27017", "collection": "keys"}
    assert MongoDBAPIKeysSettings.model_validate(authenticator).uri == "mongodb://mongodb:27017"
