"""Users that the identity of type `sql` keeps."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.accounts.passwords import Passwords
from polytope_server.accounts.users.sql import SQLIdentity, SQLIdentitySettings
from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.users import UsersAuthenticator
from polytope_server.drivers.sql.address import DatabaseURL


class SQLAuthenticatorSettings(AuthenticatorSettings):
    """Keys of the authenticator `sql`."""

    url: DatabaseURL | None = Field(None, repr=False, description="The same as that of the identity.")


class SQLAuthenticator(UsersAuthenticator):
    """Basic credentials of the users that the identity keeps for this realm."""

    Settings: ClassVar[type[AuthenticatorSettings]] = SQLAuthenticatorSettings

    def __init__(
        self,
        realm: str,
        settings: SQLAuthenticatorSettings,
        data: Path,
        *,
        passwords: Passwords | None = None,
    ) -> None:
        kept = SQLIdentitySettings(url=settings.url, realm=realm)
        identity = SQLIdentity(kept, data, passwords=passwords)
        super().__init__(realm, settings, data, identity)
