"""Users that are listed in the configuration."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from polytope_server.accounts.passwords import Passwords, is_hash
from polytope_server.authentication import Authenticator, AuthenticatorSettings, basic
from polytope_server.user import User


class PlainUser(BaseModel):
    """One of the `users`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    uid: str = Field(min_length=1, description="User name.")
    password: SecretStr = Field(min_length=1, description="An argon2 hash (`$argon2id$...`), or clear text.")
    attributes: dict[str, str] = Field(
        default_factory=dict, repr=False, description="Attributes of the user."
    )

    @field_validator("uid")
    @classmethod
    def _can_log_in(cls, uid: str) -> str:
        if ":" in uid or uid == "anonymous":
            raise ValueError("a user name holds no ':' and is not 'anonymous'")
        return uid

    @field_validator("password")
    @classmethod
    def _complete(cls, password: SecretStr) -> SecretStr:
        is_hash(password.get_secret_value())
        return password


class PlainSettings(AuthenticatorSettings):
    """Keys of the authenticator `plain`."""

    clear_text: bool = Field(
        False,
        description="Accept passwords in clear text; without it the frontend refuses to start with one.",
    )
    users: list[PlainUser] = Field(default_factory=list, description="Who may log in.")

    @field_validator("users")
    @classmethod
    def _each_once(cls, users: list[PlainUser]) -> list[PlainUser]:
        if len({user.uid for user in users}) < len(users):
            raise ValueError("a uid is listed twice")
        return users

    def refusals(self) -> list[str]:
        return [
            f"the password of {user.uid!r} is clear text; give a hash (`polytope-server users hash`), or set "
            "`clear_text: true` beside `users`"
            for user in self.users
            if not (self.clear_text or is_hash(user.password.get_secret_value()))
        ]


class PlainAuthenticator(Authenticator):
    """Basic credentials, compared with the list of the configuration."""

    Settings: ClassVar[type[AuthenticatorSettings]] = PlainSettings
    scheme = "Basic"
    hint = "User name and password"

    def __init__(
        self, realm: str, settings: PlainSettings, data: Path, *, passwords: Passwords | None = None
    ) -> None:
        super().__init__(realm, settings, data)
        self._users = {user.uid: user for user in settings.users}
        self._passwords = passwords or Passwords()
        stored = (user.password.get_secret_value() for user in settings.users)
        # Compared with when a user has no hash, so that it takes the same time.
        self._decoy = next((password for password in stored if is_hash(password)), None)

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None:
            return None
        username, password = decoded
        user = self._users.get(username)
        stored = user.password.get_secret_value() if user else ""
        right = await self._matches(stored, password)
        if user is None or not right:
            return None
        return User(user.uid, self.realm, attributes=dict(user.attributes))

    async def knows(self, username: str) -> bool:
        return username in self._users

    async def _matches(self, stored: str, password: str) -> bool:
        if is_hash(stored):
            return await self._passwords.verify(stored, password)
        if self._decoy is not None:
            await self._passwords.verify(self._decoy, password)
        return basic.same(stored, password)
