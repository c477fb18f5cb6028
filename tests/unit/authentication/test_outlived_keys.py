"""An API key whose user is gone, in realms of every kind."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from polytope_server.accounts.api_keys.sql import SQLAPIKeys, SQLAPIKeysSettings
from polytope_server.authentication import AuthenticationUnavailableError, Authenticator
from polytope_server.authentication.configuration import create_authentication
from polytope_server.authentication.identification import UnauthenticatedError
from polytope_server.authentication.manager import Authentication
from polytope_server.authorization import Authorizer, NoSuchUserError
from polytope_server.caching.memory import MemoryCache, MemoryCacheSettings
from polytope_server.settings import backends
from polytope_server.settings.root import Settings
from polytope_server.user import User

Open = Callable[..., Awaitable[Authentication]]
SECRET = "shared-between-two-servers"
ALICE = User("alice", "r")


class Elsewhere(Authenticator):
    """A service that keeps no list of its users for us."""

    scheme = "Elsewhere"

    async def authenticate(self, credentials: str) -> User | None:
        return User(credentials, self.realm)


class Down(Elsewhere):
    async def knows(self, username: str) -> bool | None:
        raise AuthenticationUnavailableError("it is down")


class Service(Elsewhere):
    """One that says the realm itself."""

    users = "any"


class Directory(Authorizer):
    """Knows no user."""

    knows_all_users = True

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        raise NoSuchUserError(user.username)


class SomeUsers(Directory):
    knows_all_users = False


STUBS: dict[tuple[str, str], type[Any]] = {
    ("authenticator", "elsewhere"): Elsewhere,
    ("authenticator", "down"): Down,
    ("authenticator", "service"): Service,
    ("authorizer", "directory"): Directory,
    ("authorizer", "some"): SomeUsers,
}


def listed(*names: str) -> dict[str, Any]:
    return {"type": "plain", "users": [{"uid": name, "password": "secret"} for name in names]}


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[SQLAPIKeys]:
    keys = SQLAPIKeys(SQLAPIKeysSettings(allowed_realms=["r"]), tmp_path)
    await keys.open()
    yield keys
    await keys.close()


@pytest.fixture
async def open_(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Open]:
    load = backends.load
    monkeypatch.setattr(
        backends, "load", lambda concern, name: STUBS.get((concern, name)) or load(concern, name)
    )
    opened = []

    async def open_(authenticators: list[Any], authorizers: list[Any], **realms: Any) -> Authentication:
        section: dict[str, Any] = {
            "cache": 0,
            "r": {
                "authenticators": {str(n): one for n, one in enumerate(authenticators)},
                "authorizers": {str(n): one for n, one in enumerate(authorizers)},
            },
            **realms,
        }
        settings = Settings.model_validate(
            {
                "authentication": section,
                "api-keys": {"authenticator": {"type": "sql"}},
                "federation": {"peer": {"secret": SECRET}},
            }
        )
        manager = create_authentication(settings, tmp_path, MemoryCache(MemoryCacheSettings(), tmp_path))
        await manager.open()
        opened.append(manager)
        return manager

    yield open_
    for manager in opened:
        await manager.close()


PLAIN, SQL = {"type": "plain"}, {"type": "sql"}
ELSEWHERE, DIRECTORY, SOME = {"type": "elsewhere"}, {"type": "directory"}, {"type": "some"}


@pytest.mark.parametrize(
    ("authenticators", "authorizers"),
    [
        ([listed("bob")], []),
        ([listed("bob")], [PLAIN]),
        ([SQL], []),
        ([SQL], [SQL]),
        ([], [SQL]),
        ([listed("bob"), SQL], [SQL]),
        ([ELSEWHERE], [DIRECTORY]),
        ([ELSEWHERE, SQL], [PLAIN, DIRECTORY]),
    ],
)
async def test_a_key_ends_to_count_when_the_realm_has_no_such_user(
    open_: Open, keys: SQLAPIKeys, authenticators: list[Any], authorizers: list[Any]
) -> None:
    manager = await open_(authenticators, authorizers)
    with pytest.raises(UnauthenticatedError, match="Invalid credentials"):
        await manager.authenticate(f"Bearer {(await keys.create(ALICE)).key}")


@pytest.mark.parametrize(
    ("authenticators", "authorizers"),
    [
        ([], []),
        ([listed("alice")], [SQL]),
        ([SQL, listed("bob", "alice")], [SQL, DIRECTORY]),
        ([ELSEWHERE], []),
        ([ELSEWHERE, SQL], [SQL]),
        ([ELSEWHERE], [SOME]),
        ([{"type": "down"}, listed("alice")], [DIRECTORY]),
    ],
)
async def test_a_key_counts_where_somebody_knows_its_user_or_might(
    open_: Open, keys: SQLAPIKeys, authenticators: list[Any], authorizers: list[Any]
) -> None:
    manager = await open_(authenticators, authorizers)
    found = await manager.authenticate(f"Bearer {(await keys.create(ALICE)).key}")
    assert found.user == ALICE


async def test_a_service_that_says_the_realm_itself_might_know_the_user(
    open_: Open, keys: SQLAPIKeys
) -> None:
    service = {"authenticators": {"service": {"type": "service"}}}
    manager = await open_([listed("bob")], [], other=service)
    assert (await manager.authenticate(f"Bearer {(await keys.create(ALICE)).key}")).user == ALICE


async def test_a_list_that_is_down_decides_nothing(open_: Open, keys: SQLAPIKeys) -> None:
    manager = await open_([listed("bob"), {"type": "down"}], [DIRECTORY])
    with pytest.raises(AuthenticationUnavailableError):
        await manager.authenticate(f"Bearer {(await keys.create(ALICE)).key}")


@pytest.mark.parametrize("header", ["Elsewhere alice", f"Federation {SECRET}:alice:r"])
async def test_who_gets_in_otherwise_gets_no_roles_from_a_list_without_them(open_: Open, header: str) -> None:
    manager = await open_([ELSEWHERE], [DIRECTORY])
    assert (await manager.authenticate(header)).user == ALICE
