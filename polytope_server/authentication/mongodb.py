"""Users that the identity of type `mongodb` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polytope_server.accounts.users.mongodb import MongoDBIdentity, MongoDBUsersSettings
from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.users import UsersAuthenticator


class MongoDBAuthenticatorSettings(AuthenticatorSettings, MongoDBUsersSettings):
    """Keys of the authenticator `mongodb`: the same as those of the identity."""


class MongoDBAuthenticator(UsersAuthenticator):
    """Basic credentials of the users that the identity keeps for this realm."""

    Settings: ClassVar[type[AuthenticatorSettings]] = MongoDBAuthenticatorSettings

    def __init__(self, realm: str, settings: MongoDBAuthenticatorSettings, data: Path) -> None:
        super().__init__(realm, settings, data, MongoDBIdentity.of_realm(realm, settings, data))
