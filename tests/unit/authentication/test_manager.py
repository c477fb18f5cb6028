"""Who a call comes from, by all schemes and realms of a configuration."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from log_ins import (
    ANONYMOUS,
    FULL,
    SECRET,
    STUB,
    STUBS,
    Cache,
    Open,
    Stub,
    StubAuthorizer,
    basic,
    refusal,
)

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.authentication import (
    AuthenticationUnavailableError,
)
from polytope_server.authentication.configuration import authenticators, create_authentication
from polytope_server.authentication.identification import Identification, UnauthenticatedError
from polytope_server.authorization import AuthorizerSettings
from polytope_server.settings import backends
from polytope_server.settings.root import Settings
from polytope_server.user import User


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
            'Basic realm="r", charset="UTF-8", info="User name and password"',
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


@pytest.mark.usefixtures("stubs")
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
