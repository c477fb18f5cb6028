"""Users of a Keycloak, by user name and password."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, SecretStr

from polytope_server.authentication import AuthenticatorSettings, basic
from polytope_server.authentication.names import is_name
from polytope_server.authentication.openid_connect import (
    client_refused,
    endpoints,
    error_code,
    refuses_client,
)
from polytope_server.authentication.outgoing import (
    BaseAddress,
    OutgoingService,
    ServiceAuthenticator,
    Timeout,
    unencrypted,
)
from polytope_server.user import User

_UNAVAILABLE = "The service that knows users and passwords cannot be reached at the moment"
#: What the client in Keycloak needs, for the log.
_CLIENT = "client_id, client_secret, and that the client may use direct access grants"


class KeycloakSettings(AuthenticatorSettings):
    """Keys of the authenticator `keycloak`."""

    url: BaseAddress = Field(
        description="Base of the service, what comes before `/realms`: `https://keycloak.example.org`, "
        "with `/auth` at its end for versions before 17."
    )
    client_id: str = Field(min_length=1, description="Name of the client that stands for this server.")
    client_secret: SecretStr = Field(min_length=1, description="Secret of that client.")
    keycloak_realm: str = Field(min_length=1, description="The realm in Keycloak.")
    skip_tls: bool = Field(False, description="Do not check the certificate. Only for trials.")
    timeout: Timeout = 3.0
    attributes: dict[str, str] = Field(
        default_factory=dict,
        description="Attributes of a user: name here, and name of the claim in Keycloak.",
    )

    def warnings(self) -> list[str]:
        found = []
        if self.skip_tls:
            found.append(
                "with skip_tls a man in the middle between this server and Keycloak can read passwords"
            )
        return found + unencrypted(self.url, "passwords travel to Keycloak without encryption")


class KeycloakAuthenticator(ServiceAuthenticator):
    """Basic credentials, with which Keycloak is asked for a token (password grant) and then for its user."""

    Settings: ClassVar[type[AuthenticatorSettings]] = KeycloakSettings
    scheme = "Basic"
    hint = "User name and password"

    def __init__(self, realm: str, settings: KeycloakSettings, data: Path) -> None:
        service = OutgoingService(_UNAVAILABLE, settings.timeout, verify=not settings.skip_tls)
        super().__init__(realm, settings, data, service)
        base = endpoints(settings.url, settings.keycloak_realm)
        self._token_url, self._user_url = f"{base}/token", f"{base}/userinfo"
        self._client_id = settings.client_id
        self._client_secret = settings.client_secret
        self._attributes = dict(settings.attributes)

    async def authenticate(self, credentials: str) -> User | None:
        decoded = basic.decode(credentials)
        if decoded is None:
            return None
        username, password = decoded
        # Keycloak's database fails on control characters, which would count as an outage.
        if not is_name(username) or "\0" in password:
            return None
        token = await self._request_token(username, password)
        return None if token is None else await self._request_user(token)

    async def _request_token(self, username: str, password: str) -> str | None:
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
            token = answer.text("access_token")
            if token is None or not token.isascii() or not token.isprintable():
                raise self._service.unavailable(self._token_url, "an answer without an access token")
            return token
        if refuses_client(answer):
            raise client_refused(self._service, self._token_url, answer, _CLIENT)
        if answer.status == 401 or (answer.status == 400 and answer.text("error") == "invalid_grant"):
            return None
        reason = f"status {answer.status}, {error_code(answer)}"
        raise self._service.unavailable(self._token_url, reason)

    async def _request_user(self, token: str) -> User:
        answer = await self._service.call("GET", self._user_url, headers={"Authorization": f"Bearer {token}"})
        if answer.status != 200:
            raise self._service.unavailable(self._user_url, f"status {answer.status}")
        # What the user typed is no name for them: Keycloak takes any case, and the e-mail address, too,
        # and each spelling would be a user of its own.
        username = answer.text("preferred_username")
        if username is None or not is_name(username):
            reason = "no preferred_username: the client needs the scope `profile`, and no signed answers"
            raise self._service.unavailable(self._user_url, reason)
        return User(username, self.realm, attributes=self._map_attributes(answer.document))

    def _map_attributes(self, claims: dict[str, Any]) -> dict[str, str]:
        """The attributes that the configuration names; what is no text becomes JSON."""
        found = {local: claims.get(remote) for local, remote in self._attributes.items()}
        return {
            local: value if isinstance(value, str) else json.dumps(value)
            for local, value in found.items()
            if value is not None
        }
