"""Users of a Keycloak, by user name and password."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from pydantic import Field, SecretStr

from polytope_server.authentication import (
    AuthenticationUnavailableError,
    Authenticator,
    AuthenticatorSettings,
    basic,
)
from polytope_server.authentication.outgoing import Address, Answer, OutgoingService
from polytope_server.user import User

_log = logging.getLogger(__name__)

_UNAVAILABLE = "The service that knows users and passwords cannot be reached at the moment"
#: What Keycloak says when it is this server that it refuses, and not the user.
_CLIENT_ERRORS = frozenset({"invalid_client", "unauthorized_client"})
#: Anything else in its place is not logged: it may repeat what was sent.
_ERROR_CODE = re.compile(r"[a-z_]{1,40}")
#: Keycloak knows no longer user names and e-mail addresses.
_LONGEST_NAME = 255


class KeycloakSettings(AuthenticatorSettings):
    """Keys of the authenticator `keycloak`."""

    url: Address = Field(
        description="Base of the service, what comes before `/realms`: `https://keycloak.example.org`, "
        "with `/auth` at its end for versions before 17."
    )
    client_id: str = Field(min_length=1, description="Name of the client that stands for this server.")
    client_secret: SecretStr = Field(min_length=1, description="Secret of that client.")
    keycloak_realm: str = Field(min_length=1, description="The realm in Keycloak.")
    skip_tls: bool = Field(False, description="Do not check the certificate. Only for trials.")
    timeout: float = Field(3.0, gt=0, le=300, description="Seconds after which the service counts as down.")
    attributes: dict[str, str] = Field(
        default_factory=dict,
        description="Attributes of a user: name here, and name of the claim in Keycloak.",
    )

    def warnings(self) -> list[str]:
        found = []
        if self.skip_tls:
            found.append("with skip_tls whoever is between this server and Keycloak can read passwords")
        if self.url.startswith("http://"):
            found.append("passwords travel to Keycloak without encryption; use https://")
        return found


class KeycloakAuthenticator(Authenticator):
    """Basic credentials, with which Keycloak is asked for a token (password grant) and then for its user."""

    Settings: ClassVar[type[AuthenticatorSettings]] = KeycloakSettings
    scheme = "Basic"
    hint = "User name and password"

    def __init__(self, realm: str, settings: KeycloakSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        base = f"{settings.url}/realms/{quote(settings.keycloak_realm, safe='')}/protocol/openid-connect"
        self._token_url, self._user_url = f"{base}/token", f"{base}/userinfo"
        self._client_id = settings.client_id
        self._client_secret = settings.client_secret
        self._attributes = dict(settings.attributes)
        self._service = OutgoingService(_UNAVAILABLE, settings.timeout, verify=not settings.skip_tls)

    async def open(self) -> None:
        await self._service.open()

    async def close(self) -> None:
        await self._service.close()

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None:
            return None
        username, password = decoded
        # Keycloak's database fails on control characters, which would count as an outage.
        if len(username) > _LONGEST_NAME or not username.isprintable() or "\0" in password:
            return None
        token = await self._token(username, password)
        return None if token is None else await self._user(token)

    async def _token(self, username: str, password: str) -> str | None:
        """The access token of the user; None if the user name or the password is wrong."""
        form = {
            "grant_type": "password",
            "client_id": self._client_id,
            "client_secret": self._client_secret.get_secret_value(),
            "username": username,
            "password": password,
            "scope": "openid",  # without it, Keycloak 19 and later give the token no access to userinfo
        }
        answer = await self._service.call("POST", self._token_url, data=form)
        if answer.status == 200:
            token = _text(answer, "access_token")
            if token is None or not token.isascii() or not token.isprintable():
                raise self._service.unavailable(self._token_url, "an answer without an access token")
            return token
        error = _text(answer, "error")
        if error in _CLIENT_ERRORS:
            _log.error(
                "%s: Keycloak refuses the client of the configuration (%s): check client_id, client_secret, "
                "and that the client may use direct access grants",
                *(self._token_url, error),
            )
            raise AuthenticationUnavailableError(_UNAVAILABLE)
        if answer.status == 401 or (answer.status == 400 and error == "invalid_grant"):
            return None
        code = error if error and _ERROR_CODE.fullmatch(error) else "no error code"
        raise self._service.unavailable(self._token_url, f"status {answer.status}, {code}")

    async def _user(self, token: str) -> User:
        answer = await self._service.call("GET", self._user_url, headers={"Authorization": f"Bearer {token}"})
        if answer.status != 200:
            raise self._service.unavailable(self._user_url, f"status {answer.status}")
        # What the user typed is no name for them: Keycloak takes any case, and the e-mail address, too,
        # and each spelling would be a user of its own.
        username = _text(answer, "preferred_username")
        if username is None or not username.isprintable():
            reason = "no preferred_username: the client needs the scope `profile`, and no signed answers"
            raise self._service.unavailable(self._user_url, reason)
        return User(username, self.realm, attributes=self._mapped(answer.document))

    def _mapped(self, claims: dict[str, Any]) -> dict[str, str]:
        """The attributes that the configuration names; what is no text becomes JSON."""
        found = {local: claims.get(remote) for local, remote in self._attributes.items()}
        return {
            local: value if isinstance(value, str) else json.dumps(value)
            for local, value in found.items()
            if value is not None
        }


def _text(answer: Answer, key: str) -> str | None:
    """The text of that key in a JSON object; None if there is none, or an empty one."""
    value = answer.document.get(key) if isinstance(answer.document, dict) else None
    return value if isinstance(value, str) and value else None
