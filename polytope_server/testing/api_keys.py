"""What every store of API keys promises. Inherit, and give the fixtures below."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC

import pytest

from polytope_server.accounts.api_keys import APIKeys, InvalidExpiryError, RealmNotAllowedError
from polytope_server.testing.caching import PassTime
from polytope_server.user import User

_ALICE = User("alice", "allowed")
_DAY = 86400.0


class APIKeysContract:
    """The contract tests.

    Fixtures: `api_keys` (open, empty, for the realms `allowed` and `elsewhere`, of which the former is its
    `own_realm`, a year each there, by a clock of the test's own)
    and `pass_time`, which moves that clock.
    """

    async def test_a_key_is_known_by_its_owner(self, api_keys: APIKeys) -> None:
        made = await api_keys.create(_ALICE)
        assert uuid.UUID(made.key).version == 4
        assert str(uuid.UUID(made.key)) == made.key
        assert made.key not in repr(made)
        assert await api_keys.verify(made.key) == _ALICE

    async def test_the_end_is_in_whole_minutes(self, api_keys: APIKeys) -> None:
        made = await api_keys.create(_ALICE)
        assert (made.expires.second, made.expires.microsecond, made.expires.tzinfo) == (0, 0, UTC)
        (entry,) = await api_keys.list_keys(_ALICE)
        assert entry["expires"] == made.expires.timestamp()
        assert 365 * _DAY - 60 < entry["expires"] - entry["created"] <= 365 * _DAY

    async def test_a_key_ends(self, api_keys: APIKeys, pass_time: PassTime) -> None:
        made = await api_keys.create(_ALICE)
        await pass_time(365 * _DAY - 61)
        owner = await api_keys.verify(made.key)
        assert owner is not None
        assert owner.until == made.expires.timestamp()
        await pass_time(62)
        assert await api_keys.verify(made.key) is None
        assert await api_keys.list_keys(_ALICE) == []

    async def test_a_key_ends_sooner_if_its_user_wants(self, api_keys: APIKeys, pass_time: PassTime) -> None:
        made = await api_keys.create(_ALICE, 2)
        (entry,) = await api_keys.list_keys(_ALICE)
        assert 2 * _DAY - 60 < entry["expires"] - entry["created"] <= 2 * _DAY
        await pass_time(2 * _DAY + 1)
        assert await api_keys.verify(made.key) is None

    async def test_a_key_ends_no_later_than_its_user(self, api_keys: APIKeys) -> None:
        first = await api_keys.create(_ALICE, 3)
        owner = await api_keys.verify(first.key)
        assert owner is not None
        second = await api_keys.create(owner)
        assert second.expires < first.expires
        with pytest.raises(InvalidExpiryError):
            await api_keys.create(replace(owner, until=owner.until - 2.5 * _DAY))

    @pytest.mark.parametrize("days", [-1, 0, 366, 10**20])
    async def test_a_key_ends_when_it_may(self, api_keys: APIKeys, days: int) -> None:
        with pytest.raises(InvalidExpiryError, match="1 to 365 days"):
            await api_keys.create(_ALICE, days)
        assert await api_keys.list_keys(_ALICE) == []

    @pytest.mark.parametrize(
        "key", ["", "x", "2f1d7c1e-6c55-4a8e-9d52-0d8f6f6c1a35", "' OR 1=1 --", "\ud800", "é" * 4000]
    )
    async def test_an_unknown_key_is_wrong(self, api_keys: APIKeys, key: str) -> None:
        await api_keys.create(_ALICE)
        assert await api_keys.verify(key) is None

    async def test_users_of_other_realms_get_none(self, api_keys: APIKeys) -> None:
        with pytest.raises(
            RealmNotAllowedError, match=r"^Not allowed to create an API Key for users in realm other$"
        ):
            await api_keys.create(User("alice", "other"))

    async def test_a_list_shows_no_key(self, api_keys: APIKeys) -> None:
        made = [await api_keys.create(_ALICE) for _ in range(2)]
        await api_keys.create(User("bob", "allowed"))
        entries = await api_keys.list_keys(_ALICE)
        assert [entry["prefix"] for entry in entries] == [key.key[:8] for key in made]
        assert all(key.key not in str(entries) for key in made)

    async def test_the_last_use_is_known_to_a_minute(self, api_keys: APIKeys, pass_time: PassTime) -> None:
        made = await api_keys.create(_ALICE)

        async def used() -> float | None:
            (entry,) = await api_keys.list_keys(_ALICE)
            return entry["last_used"]

        assert await used() is None
        await api_keys.verify(made.key)
        first = await used()
        assert first is not None
        await pass_time(30)
        await api_keys.verify(made.key)
        assert await used() == first
        await pass_time(31)
        await api_keys.verify(made.key)
        assert await used() == pytest.approx(first + 61)

    async def test_a_revoked_key_is_wrong(self, api_keys: APIKeys) -> None:
        kept, gone = [(await api_keys.create(_ALICE)).key for _ in range(2)]
        assert await api_keys.revoke(User("bob", "allowed"), gone[:8]) == 0
        assert await api_keys.revoke(User("alice", "other"), gone[:8]) == 0
        for prefix in ("", "nothing"):
            assert await api_keys.revoke(_ALICE, prefix) == 0
        assert await api_keys.revoke(_ALICE, gone[:8]) == 1
        assert await api_keys.verify(gone) is None
        assert await api_keys.verify(kept) is not None

    async def test_all_keys_of_one_user_are_revoked(self, api_keys: APIKeys) -> None:
        keys = [(await api_keys.create(_ALICE)).key for _ in range(2)]
        other = (await api_keys.create(User("bob", "allowed"))).key
        assert await api_keys.revoke_all(_ALICE) == 2
        assert [await api_keys.verify(key) for key in keys] == [None, None]
        assert await api_keys.verify(other) is not None

    async def test_the_keys_of_a_realm_are_listed_with_their_users(
        self, api_keys: APIKeys, pass_time: PassTime
    ) -> None:
        await api_keys.create(_ALICE, 1)  # it will have ended
        made = {name: [await api_keys.create(User(name, "allowed"))] for name in ("bob", "alice")}
        made["alice"].append(await api_keys.create(_ALICE))
        await api_keys.create(User("alice", "elsewhere"))
        await pass_time(_DAY + 1)
        listed = [entry async for entry in api_keys.list_realm("allowed")]
        assert [(entry["username"], entry["prefix"]) for entry in listed] == [
            (name, key.key[:8]) for name in ("alice", "bob") for key in made[name]
        ]
        alices = [{**entry, "username": "alice"} for entry in await api_keys.list_keys(_ALICE)]
        assert listed[:2] == alices
        assert [entry async for entry in api_keys.list_realm("unknown")] == []

    async def test_all_keys_of_a_realm_are_revoked(self, api_keys: APIKeys) -> None:
        keys = [(await api_keys.create(User(name, "allowed"))).key for name in ("alice", "bob", "alice")]
        other = (await api_keys.create(User("alice", "elsewhere"))).key
        assert await api_keys.revoke_realm("allowed") == 3
        assert [await api_keys.verify(key) for key in keys] == [None] * 3
        assert await api_keys.verify(other) is not None
        assert await api_keys.revoke_realm("allowed") == 0

    async def test_the_oldest_of_too_many_ends(self, api_keys: APIKeys) -> None:
        keys = [(await api_keys.create(_ALICE)).key for _ in range(101)]
        assert await api_keys.verify(keys[0]) is None
        assert await api_keys.verify(keys[1]) is not None
        assert len(await api_keys.list_keys(_ALICE)) == 100
