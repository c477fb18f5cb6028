"""Who was verified, in the shared cache; and who was forgotten."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from polytope_server.authentication import AuthenticationUnavailableError
from polytope_server.authentication.cache_entries import CacheEntries
from polytope_server.authentication.verified_users import ForgottenUsers, VerifiedUsers
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.settings.secrets import SecretsSettings
from polytope_server.user import User

ALICE = User("alice", "r", ("default",))


@dataclass
class Clock:
    now: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Verifier:
    """Answers with a user, and counts."""

    def __init__(self, user: User | None = ALICE) -> None:
        self.user = user
        self.calls = 0

    async def __call__(self) -> User | None:
        self.calls += 1
        return self.user


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> MemoryCache:
    return MemoryCache(MemoryCacheSettings(), tmp_path, clock=clock)


@pytest.fixture
def forgotten(clock: Clock) -> ForgottenUsers:
    return ForgottenUsers(60.0, clock)


Make = Callable[..., Awaitable[VerifiedUsers]]


@pytest.fixture
def make(tmp_path: Path, cache: MemoryCache, forgotten: ForgottenUsers, clock: Clock) -> Make:
    async def make(seconds: float = 60.0, *, known: ForgottenUsers = forgotten) -> VerifiedUsers:
        entries = CacheEntries(lambda: DeploymentKeys(SecretsSettings(), tmp_path))
        await entries.open()
        return VerifiedUsers(cache, entries, known, seconds, clock)

    return make


@pytest.fixture
async def users(make: Make) -> VerifiedUsers:
    return await make()


class TestForgottenUsers:
    def test_who_was_not_forgotten_never_was(self, forgotten: ForgottenUsers) -> None:
        assert forgotten.when(ALICE) == -math.inf

    def test_it_is_by_name_and_realm(self, forgotten: ForgottenUsers, clock: Clock) -> None:
        forgotten.add("alice", "r")
        assert forgotten.when(ALICE) == clock.now
        assert forgotten.when(User("alice", "s")) == -math.inf

    def test_it_is_known_as_long_as_a_verification_counts(
        self, forgotten: ForgottenUsers, clock: Clock
    ) -> None:
        forgotten.add("alice", "r")
        clock.now += 59.9
        assert forgotten.when(ALICE) > -math.inf
        clock.now += 0.2
        assert forgotten.when(ALICE) == -math.inf


class TestVerifiedUsers:
    async def test_a_credential_is_verified_once(self, users: VerifiedUsers) -> None:
        verifier = Verifier()
        for _ in range(2):
            found = await users.get_or_verify("d", verifier)
            assert found is not None
            assert found.user == ALICE
        assert verifier.calls == 1

    async def test_another_credential_is_another_one(self, users: VerifiedUsers) -> None:
        await users.get_or_verify("d", Verifier())
        assert await users.get_or_verify("e", Verifier(None)) is None

    async def test_a_wrong_one_is_not_remembered(self, users: VerifiedUsers) -> None:
        verifier = Verifier(None)
        assert await users.get_or_verify("d", verifier) is None
        verifier.user = ALICE
        assert await users.get_or_verify("d", verifier) is not None

    async def test_what_cannot_be_verified_now_is_not_remembered(self, users: VerifiedUsers) -> None:
        async def fail() -> User | None:
            raise AuthenticationUnavailableError("it is down")

        with pytest.raises(AuthenticationUnavailableError):
            await users.get_or_verify("d", fail)
        assert await users.get_or_verify("d", Verifier()) is not None

    async def test_a_fresh_verification_replaces_an_earlier_one(
        self, users: VerifiedUsers, clock: Clock
    ) -> None:
        await users.get_or_verify("d", Verifier())
        clock.now += 1.0
        verifier = Verifier(User("alice", "r", ("default", "new")))
        for fresh in (True, False):
            found = await users.get_or_verify("d", verifier, fresh=fresh)
            assert found is not None
            assert found.user.roles == ("default", "new")
        assert verifier.calls == 1

    async def test_it_ends_when_it_was_to_end_whichever_process_asks(self, make: Make, clock: Clock) -> None:
        first, second = await make(), await make()
        await first.get_or_verify("d", Verifier())
        began = clock.now
        clock.now += 50.0
        found = await second.get_or_verify("d", Verifier())
        assert found is not None
        assert found.until == began + 60.0

    async def test_it_ends_with_the_credentials(self, users: VerifiedUsers, clock: Clock) -> None:
        ends = clock.now + 10.0
        found = await users.get_or_verify("d", Verifier(User("alice", "r", until=ends)))
        assert found is not None
        assert found.until == ends
        clock.now = ends
        assert await users.get_or_verify("d", Verifier(None)) is None

    async def test_a_forgotten_user_is_verified_again_once(self, users: VerifiedUsers, clock: Clock) -> None:
        verifier = Verifier()
        await users.get_or_verify("d", verifier)
        clock.now += 1.0
        users.forget("alice", "r")
        clock.now += 1.0
        for _ in range(2):
            await users.get_or_verify("d", verifier)
        assert verifier.calls == 2

    async def test_a_user_who_is_forgotten_during_the_verification_does_not_count(
        self, users: VerifiedUsers
    ) -> None:
        answers: list[User | None] = [ALICE, None]

        async def verify() -> User | None:
            users.forget("alice", "r")
            return answers.pop(0)

        assert await users.get_or_verify("d", verify) is None
        assert not answers

    async def test_one_that_was_removed_is_verified_again(self, users: VerifiedUsers) -> None:
        verifier = Verifier()
        await users.get_or_verify("d", verifier)
        await users.remove("d")
        await users.get_or_verify("d", verifier)
        assert verifier.calls == 2

    async def test_without_time_the_cache_is_not_used(self, make: Make, cache: MemoryCache) -> None:
        users, verifier = await make(0.0), Verifier()
        for _ in range(2):
            assert await users.get_or_verify("d", verifier) is not None
        assert verifier.calls == 2
        assert await cache.get("verified:d") is None

    async def test_what_others_wrote_is_replaced(self, users: VerifiedUsers, cache: MemoryCache) -> None:
        await cache.set("verified:d", {"user": "eve"}, 60.0)
        found = await users.get_or_verify("d", Verifier())
        assert found is not None
        assert found.user == ALICE
