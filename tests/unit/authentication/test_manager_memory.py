"""How long it counts that credentials were verified, or refused."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from log_ins import (
    FULL,
    STUB,
    STUBS,
    Cache,
    Clock,
    Open,
    Stub,
    StubAuthorizer,
    basic,
    refusal,
)

from polytope_server.authentication import (
    AuthenticationUnavailableError,
)
from polytope_server.authentication.configuration import create_authentication
from polytope_server.caching import JSON
from polytope_server.settings.root import Settings
from polytope_server.user import User


class TestMemory:
    async def test_a_poll_does_not_verify_again(self, open_: Open) -> None:
        manager = await open_()
        first = await manager.authenticate("Stub bob")
        assert await manager.authenticate("Stub bob") is first
        assert Stub.calls == 1

    async def test_callers_at_the_same_time_share_one_verification(self, open_: Open) -> None:
        manager = await open_()
        found = await asyncio.gather(*(manager.authenticate("Stub bob") for _ in range(10)))
        assert {one.user.username for one in found} == {"bob"}
        assert Stub.calls == 1

    async def test_it_ends_in_time(self, open_: Open, clock: Clock) -> None:
        manager = await open_()
        await manager.authenticate("Stub bob")
        StubAuthorizer.granted = ("new",)
        clock.now += 59.0
        assert "new" not in (await manager.authenticate("Stub bob")).user.roles
        clock.now += 1.1
        assert "new" in (await manager.authenticate("Stub bob")).user.roles

    async def test_another_process_does_not_make_it_longer(self, open_: Open, clock: Clock) -> None:
        first, second = await open_(), await open_()
        await first.authenticate("Stub bob")
        clock.now += 50.0
        await second.authenticate("Stub bob")
        assert Stub.calls == 1
        clock.now += 11.0
        await second.authenticate("Stub bob")
        assert Stub.calls == 2

    async def test_it_ends_with_the_credentials(self, open_: Open, clock: Clock) -> None:
        """In this process, and in another that has it from the cache, which forgets it later."""
        first, second, third = await open_(), await open_(), await open_()
        Stub.until = clock.now + 10.0
        await first.authenticate("Stub bob")
        clock.now += 9.9
        for manager in (first, second):
            await manager.authenticate("Stub bob")
        assert Stub.calls == 1
        clock.now += 0.2
        Stub.until = clock.now + 10.0
        for manager in (first, second, third):
            await manager.authenticate("Stub bob")
        assert Stub.calls == 2

    async def test_credentials_that_ended_are_wrong_although_the_cache_has_them(
        self, open_: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Ended(Stub):
            async def authenticate(self, credentials: str) -> User | None:
                return None if clock.now >= Stub.until else await super().authenticate(credentials)

        monkeypatch.setitem(STUBS, ("authenticator", "stub"), Ended)
        first, second = await open_(), await open_()
        Stub.until = clock.now + 10.0
        await first.authenticate("Stub bob")
        clock.now += 10.0
        for manager in (first, second):
            await refusal(manager, "Stub bob")

    async def test_it_can_be_switched_off(self, open_: Open, cache: Cache) -> None:
        manager = await open_({**STUB, "cache": 0})
        await manager.authenticate("Stub bob")
        await manager.authenticate("Stub bob")
        assert Stub.calls == 2
        assert [key for key, *_ in cache.seen if not key.startswith("known:")] == []

    async def test_neither_credentials_nor_secrets_are_in_the_cache(self, open_: Open, cache: Cache) -> None:
        header = basic("alice", "secret")
        manager = await open_()
        await manager.authenticate(header)
        await manager.authenticate("Stub bob")
        kept = [seconds for key, _, seconds in cache.seen if not key.startswith("known:")]
        assert kept == [60.0, 60.0]
        text = json.dumps(cache.seen)
        assert not any(word in text for word in (header.split()[1], "secret", "k3y"))

    async def test_attributes_are_the_same_from_memory(self, open_: Open) -> None:
        first, second = await open_(), await open_()
        one, other = await first.authenticate("Stub bob"), await second.authenticate("Stub bob")
        assert Stub.calls == 1
        assert one.user.attributes == other.user.attributes

    async def test_a_secret_that_is_needed_is_remembered_sealed(self, open_: Open, cache: Cache) -> None:
        first, second = [await open_(needed=["ecmwf-apikey"]) for _ in range(2)]
        for manager in (first, second):
            attributes = (await manager.authenticate("Stub bob")).user.attributes
            assert attributes == {"ecmwf-apikey": "k3y", "ecmwf-email": "a@b", "from": "authorizer"}
        assert Stub.calls == 1
        assert "k3y" not in json.dumps(cache.seen)

    async def test_who_reads_the_cache_does_not_learn_who_was_here(self, open_: Open, cache: Cache) -> None:
        await (await open_()).authenticate("Stub bob")
        assert not any(word in json.dumps(cache.seen) for word in ("default", "authorizer", "ecmwf-email"))

    async def test_an_entry_cannot_be_moved_to_another_credential(self, open_: Open, cache: Cache) -> None:
        first, second = [await open_(needed=["ecmwf-apikey"]) for _ in range(2)]
        await first.authenticate("Stub bob")
        await first.authenticate("Stub eve")
        (_, bobs, _), (key, eves, _) = [one for one in cache.seen if not one[0].startswith("known:")]
        assert bobs != eves
        await cache.set(key, bobs, 60.0)
        # What was tampered with counts for nothing.
        assert (await second.authenticate("Stub eve")).user == User("eve", "s", ("own", "default"))
        assert Stub.calls == 3

    @pytest.mark.parametrize(
        "forged",
        [
            {
                "username": "eve",
                "realm": "s",
                "roles": ["default", "admin"],
                "attributes": {},
                "sealed": "",
                "since": 0.0,
                "until": 1e12,
            },
            "",
            "sealed.v1.",
            "sealed.v1.AAAA",
            "x" * 1000,
            '{"username": "eve"}',
            True,
            7,
            [],
            ["eve", "s", ["admin"], {}, 0.0, 1e12],
            {"user": "eve"},
        ],
        ids=repr,
    )
    async def test_a_writer_to_the_cache_gives_no_user_a_role(
        self, open_: Open, cache: Cache, forged: JSON
    ) -> None:
        first, second = await open_(), await open_()
        await first.authenticate("Stub eve")
        ((key, *_),) = [one for one in cache.seen if not one[0].startswith("known:")]
        await cache.set(key, forged, 60.0)
        assert (await second.authenticate("Stub eve")).user == User("eve", "s", ("own", "default"))
        assert Stub.calls == 2

    async def test_an_entry_of_another_deployment_counts_for_nothing(
        self, open_: Open, cache: Cache, clock: Clock, tmp_path: Path
    ) -> None:
        await (await open_()).authenticate("Stub eve")
        settings = Settings.model_validate({"authentication": FULL})
        other = create_authentication(settings, tmp_path / "other", cache, clock=clock)
        await other.open()
        assert (await other.authenticate("Stub eve")).user.username == "eve"
        assert Stub.calls == 2
        await other.close()

    async def test_a_refusal_is_remembered_for_a_moment(self, open_: Open, clock: Clock) -> None:
        manager = await open_()
        for _ in range(3):
            assert str(await refusal(manager, "Stub wrong")) == "Invalid credentials"
        assert Stub.calls == 1
        clock.now += 1.1
        await refusal(manager, "Stub wrong")
        assert Stub.calls == 2

    async def test_a_service_that_is_down_is_asked_again_at_once(self, open_: Open) -> None:
        manager = await open_()
        Stub.down = True
        for _ in range(2):
            with pytest.raises(AuthenticationUnavailableError):
                await manager.authenticate("Stub bob")
        assert Stub.calls == 2

    async def test_a_user_is_forgotten(self, open_: Open, clock: Clock) -> None:
        manager = await open_()
        await manager.authenticate("Stub bob")
        await manager.authenticate("Stub carol")
        await refusal(manager, "Stub wrong")
        await manager.forget_user("bob", "s")
        await manager.forget_user("carol", "other realm")
        clock.now += 0.001
        assert Stub.calls == 3
        await manager.authenticate("Stub carol")
        assert Stub.calls == 3
        await manager.authenticate("Stub bob")
        await refusal(manager, "Stub wrong")
        assert Stub.calls == 5

    async def test_nothing_remembered_counts_for_what_must_be_known_now(self, open_: Open) -> None:
        manager = await open_(STUB)
        other = await open_(STUB)
        for frontend in (manager, other):
            await frontend.authenticate("Stub bob")
        assert Stub.calls == 1
        StubAuthorizer.granted = ("new",)
        assert (await manager.authenticate("Stub bob")).user.roles == ("own", "default")
        assert (await manager.authenticate("Stub bob", fresh=True)).user.roles == ("own", "default", "new")
        assert (await manager.authenticate("Stub bob")).user.roles == ("own", "default", "new")
        assert Stub.calls == 2
        Stub.down = True
        with pytest.raises(AuthenticationUnavailableError):
            await other.authenticate("Stub bob", fresh=True)

    async def test_what_was_verified_before_counts_no_more_by_any_process(
        self, open_: Open, cache: Cache, clock: Clock
    ) -> None:
        """Another process has put it into the cache, which this one has not looked at yet."""
        first, second = await open_(), await open_()
        await first.authenticate("Stub bob")
        clock.now += 1.0
        await second.forget_user("bob", "s")
        clock.now += 1.0
        await second.authenticate("Stub bob")
        assert Stub.calls == 2
        await second.authenticate("Stub bob")
        assert Stub.calls == 2

    async def test_a_verification_that_a_revocation_overtakes_does_not_count(
        self, open_: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Revoked(Stub):
            """Finds the user, who is removed before it has answered."""

            async def authenticate(self, credentials: str) -> User | None:
                user = await super().authenticate(credentials)
                if Stub.calls > 1:
                    return None
                await manager.forget_user(credentials, self.realm)
                return user

        monkeypatch.setitem(STUBS, ("authenticator", "stub"), Revoked)
        manager = await open_(STUB)
        await refusal(manager, "Stub bob")
        assert Stub.calls == 2
