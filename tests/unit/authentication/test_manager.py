import asyncio
import base64
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.authentication import (
    AuthenticationUnavailableError,
    Authenticator,
)
from polytope_server.authentication.configuration import authenticators, create_authentication
from polytope_server.authentication.identification import Identification, UnauthenticatedError
from polytope_server.authentication.manager import Authentication
from polytope_server.authorization import Authorizer, AuthorizerSettings
from polytope_server.caching import JSON
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.settings import backends
from polytope_server.settings.root import Settings
from polytope_server.user import User

SECRET = "a-secret-of-some-length"


def basic(username: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


class Cache(MemoryCache):
    """Shows what is put into it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(MemoryCacheSettings(), path, clock=clock)
        self.seen: list[tuple[str, JSON, float]] = []

    async def set(self, key: str, value: JSON, seconds: float) -> None:
        self.seen.append((key, value, seconds))
        await super().set(key, value, seconds)


class Stub(Authenticator):
    """`Stub <name>`: counts, and fails when told to."""

    scheme = "Stub"
    calls = 0
    down = False
    until = math.inf

    async def authenticate(self, credentials: str) -> User | None:
        Stub.calls += 1
        await asyncio.sleep(0)
        if Stub.down:
            raise AuthenticationUnavailableError("the stub is down")
        if credentials.startswith("wrong"):
            return None
        attributes = {"ecmwf-apikey": "k3y", "ecmwf-email": "a@b"}
        return User(credentials, self.realm, ("own",), attributes, until=Stub.until)


class StubAuthorizer(Authorizer):
    """Gives what it is told to."""

    granted: tuple[str, ...] = ()
    down = False

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        if StubAuthorizer.down:
            raise AuthenticationUnavailableError("the authorizer is down")
        return [*StubAuthorizer.granted], {"from": "authorizer"}


STUBS: dict[tuple[str, str], type[Any]] = {
    ("authenticator", "stub"): Stub,
    ("authorizer", "stub"): StubAuthorizer,
}


@pytest.fixture(autouse=True)
def stubs(monkeypatch: pytest.MonkeyPatch) -> None:
    load = backends.load
    monkeypatch.setattr(backends, "load", lambda *names: STUBS.get(names) or load(*names))
    for attribute, value in {"calls": 0, "down": False, "until": math.inf}.items():
        monkeypatch.setattr(Stub, attribute, value)
    monkeypatch.setattr(StubAuthorizer, "granted", ())
    monkeypatch.setattr(StubAuthorizer, "down", False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cache(tmp_path: Path, clock: Clock) -> Cache:
    return Cache(tmp_path, clock)


Open = Callable[..., Awaitable[Authentication]]

PLAIN = {"type": "plain", "users": [{"uid": "alice", "password": "secret"}]}
STUB = {"s": {"authenticators": {"stub": {"type": "stub"}}, "authorizers": {"stub": {"type": "stub"}}}}
FULL = {
    "r": {
        "authenticators": {"plain": PLAIN},
        "authorizers": {"plain": {"type": "plain", "roles": {"admin": ["alice"]}}},
    },
    **STUB,
}


@pytest.fixture
async def open_(tmp_path: Path, cache: Cache, clock: Clock) -> AsyncIterator[Open]:
    opened = []

    async def open_(
        authentication: dict[str, Any] | None = None, needed: Collection[str] = (), **others: Any
    ) -> Authentication:
        settings = Settings.model_validate(
            {"authentication": FULL if authentication is None else authentication, **others}
        )
        manager = create_authentication(settings, tmp_path, cache, needed, clock=clock)
        await manager.open()
        opened.append(manager)
        return manager

    yield open_
    for manager in opened:
        await manager.close()


async def refusal(manager: Authentication, header: str | None) -> UnauthenticatedError:
    with pytest.raises(UnauthenticatedError) as caught:
        await manager.authenticate(header)
    return caught.value


class TestSchemes:
    async def test_a_user_gets_the_roles_of_the_realm(self, open_: Open) -> None:
        manager = await open_()
        found = await manager.authenticate(basic("alice", "secret"))
        assert found == Identification(User("alice", "r", ("default", "admin")), "Basic")

    async def test_roles_of_the_authenticator_are_kept(self, open_: Open) -> None:
        StubAuthorizer.granted = ("extra", "own")
        found = await (await open_()).authenticate("Stub bob")
        assert found.user == User("bob", "s", ("own", "default", "extra"))
        assert found.user.attributes == {"ecmwf-email": "a@b", "from": "authorizer"}

    @pytest.mark.parametrize("scheme", ["basic", "BASIC", "bAsIc"])
    async def test_the_case_of_a_scheme_does_not_matter(self, open_: Open, scheme: str) -> None:
        header = basic("alice", "secret").replace("Basic", scheme)
        assert (await (await open_()).authenticate(header)).scheme == "Basic"

    async def test_a_federated_user_gets_the_roles_of_the_realm(self, open_: Open) -> None:
        manager = await open_(federation={"peer": {"secret": SECRET}})
        found = await manager.authenticate(f"Federation {SECRET}:alice:r")
        assert found == Identification(User("alice", "r", ("default", "admin")), "Federation")
        found = await manager.authenticate(f"Federation {SECRET}:alice:elsewhere")
        assert found.user == User("alice", "elsewhere")

    async def test_an_api_key_has_the_roles_that_its_owner_has_now(self, open_: Open, tmp_path: Path) -> None:
        keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["r"]), tmp_path)
        await keys.open()
        manager = await open_(**{"api-keys": {"authenticator": {"type": "sql"}}})
        key = (await keys.create(User("alice", "r", ("long gone",)))).key
        found = await manager.authenticate(f"Bearer {key}")
        assert found == Identification(User("alice", "r", ("default", "admin")), "Bearer")
        await keys.close()

    async def test_identity_users_log_in_with_their_roles(self, open_: Open, tmp_path: Path) -> None:
        identity = backends.load("identity", "sql")
        users = [{"uid": "bob", "password": "secret", "roles": ["reader"]}]
        keeper = identity(identity.Settings.model_validate({"realm": "q", "extra-users": users}), tmp_path)
        await keeper.open()
        part = {"sql": {"type": "sql"}}
        manager = await open_({"q": {"authenticators": part, "authorizers": part}})
        found = await manager.authenticate(basic("bob", "secret"))
        assert found.user == User("bob", "q", ("default", "reader"))
        await refusal(manager, basic("bob", "wrong"))
        await keeper.close()

    async def test_one_scheme_serves_several_realms(self, open_: Open) -> None:
        other = {"type": "plain", "users": [{"uid": "alice", "password": "other"}]}
        manager = await open_({**FULL, "t": {"authenticators": {"plain": other}}})
        assert (await manager.authenticate(basic("alice", "secret"))).user.realm == "r"
        assert (await manager.authenticate(basic("alice", "other"))).user.realm == "t"

    async def test_what_this_server_knows_itself_is_shown_to_no_service(
        self, open_: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whatever the order of the configuration: else a service would learn the passwords of a realm."""
        asked = []

        class Elsewhere(Stub):
            scheme = "Basic"
            forwards = True

            async def authenticate(self, credentials: str) -> User | None:
                asked.append(credentials)
                return None

        monkeypatch.setitem(STUBS, ("authenticator", "elsewhere"), Elsewhere)
        manager = await open_({"e": {"authenticators": {"e": {"type": "elsewhere"}}}, **FULL})
        assert (await manager.authenticate(basic("alice", "secret"))).user.realm == "r"
        assert asked == []
        await refusal(manager, basic("alice", "other"))
        assert len(asked) == 1


class TestSeveralCredentials:
    async def test_the_first_right_one_counts(self, open_: Open) -> None:
        found = await (await open_()).authenticate(f"Stub bob, {basic('alice', 'secret')}")
        assert found.user.username == "bob"

    @pytest.mark.parametrize("other", ["Stub wrong", "Basic !", "Unknown x", "nonsense", "", "Bearer"])
    @pytest.mark.parametrize("separator", [",", ", ", " ,\t"])
    async def test_wrong_ones_do_no_harm(self, open_: Open, other: str, separator: str) -> None:
        right = basic("alice", "secret")
        for parts in ([other, right], [right, other]):
            found = await (await open_()).authenticate(separator.join(parts))
            assert found.user.username == "alice"

    async def test_one_that_cannot_be_checked_does_no_harm(self, open_: Open) -> None:
        Stub.down = True
        found = await (await open_()).authenticate(f"Stub bob, {basic('alice', 'secret')}")
        assert found.user.username == "alice"

    async def test_the_same_one_is_tried_once(self, open_: Open) -> None:
        await refusal(await open_(), "Stub wrong, Stub wrong, Stub wrong")
        assert Stub.calls == 1

    async def test_a_long_list_is_tried_to_a_bound(self, open_: Open) -> None:
        await refusal(await open_(), ", ".join(f"Stub wrong{number}" for number in range(100)))
        assert Stub.calls == 8


class TestRefusals:
    UNREADABLE = "Could not read authorization header, expected 'Authorization: <type> <credentials>'"

    @pytest.mark.parametrize("header", [None, "", "  ", "Basic", ",", "Basic a\x00b", "expired token"])
    async def test_what_cannot_be_read(self, open_: Open, header: str | None) -> None:
        assert str(await refusal(await open_(), header)) == self.UNREADABLE

    async def test_an_unknown_scheme_is_named(self, open_: Open) -> None:
        message = str(await refusal(await open_(), "Digest abc"))
        assert message == 'No authentication providers for authentication type "Digest"'

    @pytest.mark.parametrize(
        "header", [basic("alice", "wrong"), basic("bob", "secret"), "Basic x", "X y, Basic z"]
    )
    async def test_wrong_credentials(self, open_: Open, header: str) -> None:
        assert str(await refusal(await open_(), header)) == "Invalid credentials"

    async def test_a_long_header_is_not_looked_at(self, open_: Open) -> None:
        assert "8192" in str(await refusal(await open_(), "Stub " + "x" * 9000))
        assert Stub.calls == 0

    @pytest.mark.parametrize("header", [None, "Basic abc"])
    async def test_nobody_gets_in_without_a_configuration(self, open_: Open, header: str | None) -> None:
        error = await refusal(await open_({}), header)
        assert "No authentication is configured" in str(error)
        assert error.challenges == []

    async def test_each_scheme_is_challenged_once(self, open_: Open) -> None:
        other = {"authenticators": {"plain": {"type": "plain"}, "anonymous": {"type": "anonymous"}}}
        manager = await open_(
            {**FULL, "t": other},
            federation={"peer": {"secret": SECRET}},
            **{"api-keys": {"authenticator": {"type": "sql"}}},
        )
        assert (await refusal(manager, "Basic abc")).challenges == [
            'Basic realm="r", info="User name and password"',
            'Stub realm="s"',
            'Bearer realm="polytope", info="API key"',
            'Federation realm="polytope"',
        ]

    @pytest.mark.parametrize("stub", [Stub, StubAuthorizer])
    async def test_neither_right_nor_wrong(self, open_: Open, stub: Any) -> None:
        manager = await open_()
        stub.down = True
        with pytest.raises(AuthenticationUnavailableError):
            await manager.authenticate(f"Stub bob, {basic('alice', 'wrong')}")
        stub.down = False
        assert (await manager.authenticate(f"Stub bob, {basic('alice', 'wrong')}")).user.username == "bob"

    async def test_another_realm_of_the_scheme_may_know_better(
        self, open_: Open, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Other(Stub):
            async def authenticate(self, credentials: str) -> User | None:
                return User(credentials, self.realm)

        Stub.down = True
        monkeypatch.setitem(STUBS, ("authenticator", "other"), Other)
        manager = await open_({**STUB, "t": {"authenticators": {"other": {"type": "other"}}}})
        assert (await manager.authenticate("Stub bob")).user.realm == "t"


ANONYMOUS = {**FULL, "a": {"authenticators": {"any": {"type": "anonymous"}}}}


class TestAnonymous:
    @pytest.mark.parametrize("header", [None, "", " "])
    async def test_a_call_without_credentials_gets_in(self, open_: Open, header: str | None) -> None:
        found = await (await open_(ANONYMOUS)).authenticate(header)
        assert found == Identification(User("anonymous", "a", ("default",)), "")

    @pytest.mark.parametrize(
        "header", [basic("alice", "wrong"), "Digest abc", "nonsense", "Anonymous x", ","]
    )
    async def test_wrong_credentials_stay_wrong(self, open_: Open, header: str) -> None:
        await refusal(await open_(ANONYMOUS), header)


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
    async def test_who_can_write_to_the_cache_gives_nobody_a_role(
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

    async def test_what_was_verified_before_counts_no_more_whoever_verified_it(
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


class TestLife:
    async def test_what_was_opened_is_closed_when_the_rest_fails(
        self, tmp_path: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        events = []

        async def opened(self: Stub) -> None:
            events.append("open")

        async def closed(self: Stub) -> None:
            events.append("close")

        async def fails(self: StubAuthorizer) -> None:
            raise AuthenticationUnavailableError

        monkeypatch.setattr(Stub, "open", opened)
        monkeypatch.setattr(Stub, "close", closed)
        monkeypatch.setattr(StubAuthorizer, "open", fails)
        manager = create_authentication(Settings.model_validate({"authentication": STUB}), tmp_path, cache)
        with pytest.raises(AuthenticationUnavailableError):
            await manager.open()
        assert events == ["open", "close"]

    def test_nothing_secret_is_in_the_representation(self, tmp_path: Path, cache: Cache) -> None:
        settings = Settings.model_validate({"authentication": FULL, "federation": {"p": {"secret": SECRET}}})
        manager = create_authentication(settings, tmp_path, cache)
        assert "secret" not in repr(manager) + str([repr(one) for one in authenticators(settings, tmp_path)])

    def test_the_settings_of_stubs_have_no_keys(self) -> None:
        assert AuthorizerSettings() == AuthorizerSettings.model_validate({})


_WORDS = st.sampled_from(
    [
        "Basic",
        "Bearer",
        "EmailKey",
        "Federation",
        "Stub",
        ",",
        " ",
        ":",
        SECRET,
        "expired",
        "\t",
        "\x00",
        "é",
        "=",
    ]
)
_HEADERS = st.one_of(
    st.text(),
    st.text(st.characters(codec=None)),
    st.lists(st.one_of(_WORDS, st.text(max_size=5)), max_size=20).map("".join),
    st.binary().map(lambda data: "Basic " + base64.b64encode(data).decode()),
    st.binary().map(lambda data: data.decode("latin-1")),
)


async def test_any_header_is_answered(open_: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    # One verification must not cost tens of milliseconds in a few hundred examples.
    monkeypatch.setattr("polytope_server.accounts.users.stored.Passwords", _Never)
    everything = {**ANONYMOUS, "q": {"authenticators": {"sql": {"type": "sql"}}}}
    manager = await open_(
        everything, federation={"p": {"secret": SECRET}}, **{"api-keys": {"authenticator": {"type": "sql"}}}
    )
    loop = asyncio.get_running_loop()
    refusals: list[UnauthenticatedError] = []

    @hypothesis_settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(_HEADERS)
    def fuzz(header: str) -> None:
        async def call() -> None:
            try:
                found = await manager.authenticate(header)
            except UnauthenticatedError as error:
                refusals.append(error)
            else:
                assert "default" in found.user.roles
                assert not set(found.user.username) & {"\n", "\r", "\0", "\x1b", "\x9b"}

        asyncio.run_coroutine_threadsafe(call(), loop).result(10)

    await asyncio.to_thread(fuzz)
    assert refusals
    for error in refusals:
        assert "expired" not in str(error).encode().decode()
        assert all(challenge.isascii() for challenge in error.challenges)


class _Never:
    async def verify(self, stored: str | None, password: str) -> bool:
        return False
