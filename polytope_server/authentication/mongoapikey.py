"""API keys that the generator of type `mongodb` keeps, as the earlier server's YAML names them in a realm."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from polytope_server.accounts.api_keys.mongodb import MongoDBAPIKeys, MongoDBAPIKeysSettings
from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.api_key import APIKeyAuthenticator


class MongoDBAPIKeySettings(AuthenticatorSettings, MongoDBAPIKeysSettings):
    """Keys of the authenticator `mongoapikey`: the same as those of `api-keys.authenticator`."""


class MongoDBAPIKeyAuthenticator(APIKeyAuthenticator):
    """The same as `api-keys.authenticator`: keys of the users of all realms."""

    Settings: ClassVar[type[AuthenticatorSettings]] = MongoDBAPIKeySettings

    def __init__(self, realm: str, settings: MongoDBAPIKeySettings, data: Path) -> None:
        super().__init__(realm, settings, data, MongoDBAPIKeys(settings, data))
