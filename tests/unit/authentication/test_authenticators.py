import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import argon2
import pytest
from pydantic import ValidationError

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.authentication.anonymous import AnonymousAuthenticator
from polytope_server.authentication.api_key import APIKeyAuthenticator
from polytope_server.authentication.federation import Federation, warnings
from polytope_server.authentication.plain import PlainAuthenticator, PlainSettings
from polytope_server.authentication.sql import SQLAuthenticator, SQLAuthenticatorSettings
from polytope_server.settings.data import FederationSettings
from polytope_server.testing.authentication import AuthenticatorContract
from polytope_server.user import User

CHEAP = argon2.PasswordHasher(1, 8, 1)
SECRET = "a-secret-of-some-length"


def basic(username: str, password: str) -> str:
    return base64.b64encode(f"{username}:{password}".encode()).decode()


def plain(tmp_path: Path, *users: dict[str, Any]) -> PlainAuthenticator:
    return PlainAuthenticator("r", PlainSettings.model_validate({"users": users}), tmp_path)


class TestPlainWithHashes(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self, tmp_path: Path) -> Authenticator:
        alice = {"uid": "alice", "password": CHEAP.hash("pass:word"), "attributes": {"ecmwf-apikey": "k3y"}}
        return plain(tmp_path, alice, {"uid": "bob", "password": "clear"})

    @pytest.fixture
    def right(self) -> str:
        return basic("alice", "pass:word")

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "r", attributes={"ecmwf-apikey": "k3y"})

    @pytest.fixture
    def wrong(self) -> list[str]:
        pairs = [("alice", "Pass:word"), ("alice", ""), ("Alice", "pass:word"), ("bob", "pass:word")]
        return [basic(*pair) for pair in [*pairs, ("bob", ""), ("carol", ""), ("", ""), ("", "pass:word")]]

    async def test_clear_text_works_beside_hashes(self, authenticator: Authenticator) -> None:
        assert await authenticator.authenticate(basic("bob", "clear")) == User("bob", "r")

    @pytest.mark.parametrize("username", ["alice", "bob", "nobody"])
    async def test_every_name_costs_one_verification(
        self, authenticator: Authenticator, username: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = []
        verify = Passwords.verify

        async def counted(self: Passwords, stored: str | None, password: str) -> bool:
            calls.append(stored)
            return await verify(self, stored, password)

        monkeypatch.setattr(Passwords, "verify", counted)
        assert await authenticator.authenticate(basic(username, "wrong")) is None
        assert len(calls) == 1


class TestPlainInClearText(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self, tmp_path: Path) -> Authenticator:
        return plain(tmp_path, {"uid": "josé", "password": "pässword"})

    @pytest.fixture
    def right(self) -> str:
        return basic("josé", "pässword")

    @pytest.fixture
    def expected(self) -> User:
        return User("josé", "r")

    @pytest.fixture
    def wrong(self) -> list[str]:
        return [basic("josé", "password"), basic("nobody", "pässword"), basic("nobody", "")]


class TestSQL(AuthenticatorContract):
    @pytest.fixture
    async def authenticator(self, tmp_path: Path) -> AsyncIterator[Authenticator]:
        settings = SQLAuthenticatorSettings()
        authenticator = SQLAuthenticator("r", settings, tmp_path, passwords=Passwords(CHEAP))
        await authenticator.open()
        for realm in ("r", "other"):
            kept = SQLIdentitySettings(url=None, realm=realm, extra_users=[])
            identity = SQLIdentity(kept, tmp_path, passwords=Passwords(CHEAP))
            await identity.open()
            await identity.add_user("alice", f"{realm}-password", ["some-role"])
            await identity.close()
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
        return [basic("alice", "other-password"), basic("bob", "r-password"), basic("alice", "")]


class TestAnonymous(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self, tmp_path: Path) -> Authenticator:
        return AnonymousAuthenticator("r", AuthenticatorSettings(), tmp_path)

    @pytest.fixture
    def right(self) -> str:
        return ""

    @pytest.fixture
    def expected(self) -> User:
        return User("anonymous", "r")

    @pytest.fixture
    def wrong(self) -> list[str]:
        return ["anonymous", "anything"]


class TestFederation(AuthenticatorContract):
    @pytest.fixture
    def authenticator(self, tmp_path: Path) -> Authenticator:
        peers = {
            "all": {"secret": SECRET},
            "some": {"secret": "some", "allowed-realms": ["a", "b"]},
            "one": {"secret": "one", "allowed-realms": "c"},
        }
        return Federation(
            {name: FederationSettings.model_validate(keys) for name, keys in peers.items()}, tmp_path
        )

    @pytest.fixture
    def right(self) -> str:
        return f"{SECRET}:alice:re:alm"

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "re:alm")

    @pytest.fixture
    def wrong(self) -> list[str]:
        no_user_or_realm = [SECRET, f"{SECRET}:", f"{SECRET}:alice", f"{SECRET}:alice:", f"{SECRET}::a"]
        return [
            *no_user_or_realm,
            f"{SECRET}:al\u2028ice:a",
            f"{SECRET}:{'x' * 256}:a",
            "wrong:alice:a",
            ":alice:a",
            "some:alice:c",
            "one:alice:a",
            "one:alice:any",
        ]

    async def test_a_server_acts_for_the_realms_that_are_listed(self, authenticator: Authenticator) -> None:
        assert await authenticator.authenticate("some:alice:b") == User("alice", "b")
        assert await authenticator.authenticate("one:alice:c") == User("alice", "c")


class TestAPIKey(AuthenticatorContract):
    @pytest.fixture
    def keys(self, tmp_path: Path) -> SQLAPIKeys:
        return SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["r"]), tmp_path)

    @pytest.fixture
    async def authenticator(self, keys: SQLAPIKeys, tmp_path: Path) -> AsyncIterator[Authenticator]:
        authenticator = APIKeyAuthenticator("polytope", None, tmp_path, keys)
        await authenticator.open()
        yield authenticator
        await authenticator.close()

    @pytest.fixture
    async def right(self, authenticator: Authenticator, keys: SQLAPIKeys) -> str:
        return (await keys.create(User("alice", "r", ("admin",)))).key

    @pytest.fixture
    def expected(self) -> User:
        return User("alice", "r")

    @pytest.fixture
    def wrong(self, right: str) -> list[str]:
        return [right.upper(), right[:-1], right + "0", "00000000-0000-4000-8000-000000000000"]


@pytest.mark.parametrize("secret", ["", " ", "a:b", "a,b", "a b", "a\nb", "a\n"])
def test_a_federation_secret_that_cannot_work_is_refused(secret: str) -> None:
    with pytest.raises(ValidationError):
        FederationSettings.model_validate({"secret": secret})


def test_a_careless_federation_draws_warnings() -> None:
    short = FederationSettings.model_validate({"secret": "short"})
    careful = FederationSettings.model_validate({"secret": SECRET, "allowed-realms": ["a"]})
    found = warnings({"peer": short, "careful": careful})
    assert len(found) == 2
    assert all("federation.peer" in warning and "short" not in warning for warning in found)


@pytest.mark.parametrize(
    "users",
    [
        [{"uid": "a", "password": "sesame"}, {"uid": "a", "password": "open"}],
        [{"uid": "a:b", "password": "sesame"}],
        [{"uid": "anonymous", "password": "sesame"}],
        [{"uid": "", "password": "sesame"}],
        [{"uid": "a", "password": ""}],
        [{"uid": "a", "password": "$argon2id$sesame"}],
        [{"uid": "a", "password": "sesame", "role": "x"}],
    ],
)
def test_plain_users_who_could_not_log_in_are_refused(users: list[dict[str, str]]) -> None:
    with pytest.raises(ValidationError) as caught:
        PlainSettings.model_validate({"users": users})
    assert "sesame" not in str(caught.value)


def test_plain_warns_of_clear_text_without_showing_it() -> None:
    users = [{"uid": "a", "password": "sesame"}, {"uid": "b", "password": CHEAP.hash("x")}]
    settings = PlainSettings.model_validate({"users": users})
    (warning,) = settings.warnings()
    assert "'a'" in warning
    assert "sesame" not in warning + repr(settings)


async def test_verifying_does_not_hold_the_event_loop(tmp_path: Path) -> None:
    slow = argon2.PasswordHasher(2, 32 << 10, 1)
    authenticator = plain(tmp_path, {"uid": "a", "password": slow.hash("x")})
    task = asyncio.ensure_future(authenticator.authenticate(basic("a", "x")))
    rounds = 0
    while not task.done():
        rounds += 1
        await asyncio.sleep(0)
    assert task.result() == User("a", "r")
    assert rounds > 10
