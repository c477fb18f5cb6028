"""Back-ends as a package of another author has them, with the imports that an earlier version documented."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from polytope_server import backends, schema_version
from polytope_server.api_keys import APIKeys, KeyEntry, NewKey, OwnedKey, RealmNotAllowedError
from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.authorization import Authorizer, AuthorizerSettings, NoSuchUserError
from polytope_server.caching import JSON, Cache
from polytope_server.datasource import DataSource, DataSourceError, DataSourceSettings, Job, Result
from polytope_server.identity import Identity, UnknownUserError, UserEntry, UserExistsError
from polytope_server.user import User

assert "sql" in backends.names("identity")
assert callable(schema_version.must_upgrade)


class PagesSettings(DataSourceSettings):
    """Keys of the data source."""

    pages: list[str] = Field(description="The pages.")


class Pages(DataSource):
    """Pages of the configuration."""

    Settings = PagesSettings

    def retrieve(self, job: Job) -> Result:
        page = str(job.coerced_request.get("page", ""))
        if not page.isascii() or not page.isdigit():
            raise DataSourceError("key 'page': expected a number")
        return Result("application/octet-stream", self._chunks(int(page)))

    def _chunks(self, page: int) -> Iterator[bytes]:
        yield self.settings.pages[page].encode()


class OneUserSettings(AuthenticatorSettings):
    """Keys of the authenticator."""

    word: str = Field(description="The password of the user `reader`.")


class OneUser(Authenticator):
    """Lets the user `reader` in."""

    Settings = OneUserSettings
    scheme = "Basic"

    async def authenticate(self, credentials: str) -> User | None:
        right = base64.b64encode(f"reader:{self.settings.word}".encode()).decode()
        return User("reader", self.realm) if credentials == right else None

    async def knows(self, username: str) -> bool:
        return username == "reader"


class Readers(Authorizer):
    """Gives the user `reader` a role."""

    Settings = AuthorizerSettings
    knows_all_users = True

    async def roles(self, user: User) -> tuple[list[str], dict[str, str]]:
        if user.username != "reader":
            raise NoSuchUserError(user.username)
        return ["reading"], {"from": "a plug-in"}


class NoKeys(BaseModel):
    """A back-end without keys."""


class Forgetful(Cache):
    """A cache that loses everything at once, as a cache may."""

    Settings = NoKeys

    def __init__(self, settings: Any, data: Path) -> None:
        super().__init__()

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def get(self, key: str) -> JSON:
        return None

    async def set(self, key: str, value: JSON, seconds: float) -> None:
        pass

    async def delete(self, key: str) -> None:
        pass

    async def add(self, key: str, amount: int, seconds: float) -> int | None:
        return None


class UsersSettings(BaseModel):
    """Keys of the identity."""

    realm: str = "local"


class Users(Identity):
    """Users in memory."""

    Settings = UsersSettings

    def __init__(self, settings: UsersSettings, data: Path) -> None:
        self.realm = settings.realm
        self._users: dict[str, tuple[str, list[str]]] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def add_user(self, username: str, password: str, roles: Sequence[str]) -> None:
        if username in self._users:
            raise UserExistsError(username)
        self._users[username] = password, list(roles)

    async def remove_user(self, username: str) -> None:
        if self._users.pop(username, None) is None:
            raise UnknownUserError(username)

    async def set_password(self, username: str, password: str) -> None:
        self._users[username] = password, self._users[username][1]

    async def change_password(self, username: str, current: str, new: str) -> bool:
        if await self.verify(username, current) is None:
            return False
        await self.set_password(username, new)
        return True

    async def set_roles(self, username: str, roles: Sequence[str]) -> None:
        self._users[username] = self._users[username][0], list(roles)

    async def list_users(self) -> list[UserEntry]:
        return [
            {"username": name, "roles": roles, "created": 0.0} for name, (_, roles) in self._users.items()
        ]

    async def roles_of(self, username: str) -> list[str] | None:
        return self._users[username][1] if username in self._users else None

    async def verify(self, username: str, password: str) -> list[str] | None:
        kept = self._users.get(username)
        return kept[1] if kept is not None and kept[0] == password else None


class Refusing(APIKeys):
    """Gives no user a key."""

    Settings = NoKeys

    def __init__(self, settings: Any, data: Path) -> None:
        pass

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def create(self, user: User, days: int | None = None) -> NewKey:
        raise RealmNotAllowedError(f"users of the realm {user.realm} get no keys")

    async def verify(self, key: str) -> User | None:
        return None

    async def list_keys(self, user: User) -> list[KeyEntry]:
        return []

    async def revoke(self, user: User, prefix: str) -> int:
        return 0

    async def revoke_all(self, user: User) -> int:
        return 0

    async def list_realm(self, realm: str) -> AsyncIterator[OwnedKey]:
        return
        yield
