"""Offline tokens of an OpenID provider, a Keycloak for example."""

from __future__ import annotations

import logging
from base64 import b64encode
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import jwt
from pydantic import Field, SecretStr

from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.openid_connect import client_refused, endpoints, refuses_client
from polytope_server.authentication.outgoing import BaseAddress, unencrypted
from polytope_server.authentication.tokens import (
    LARGEST_TOKEN,
    UNREADABLE,
    TokenAuthenticator,
    TokenSettings,
)
from polytope_server.user import User

logger = logging.getLogger(__name__)

_OFFLINE = "Offline"


class OfflineAccessSettings(TokenSettings):
    """Keys of the authenticator `openid_offline_access`."""

    iam_url: BaseAddress = Field(
        description="Base of the provider, what comes before `/realms`: `https://keycloak.example.org`."
    )
    iam_realm: str = Field(min_length=1, description="The realm of the provider.")
    public_client_id: str = Field(
        min_length=1,
        description="Name of the client that offline tokens are issued to, and whose roles a user gets.",
    )
    private_client_id: str = Field(min_length=1, description="Name of the client that may ask about tokens.")
    private_client_secret: SecretStr = Field(min_length=1, description="Secret of that client.")
    jwt_aud: str = Field(min_length=1, description="What `aud` of an access token must hold.")
    jwt_iss: str = Field(min_length=1, description="What `iss` of a token must be.")
    disable_check: bool = Field(
        False, description="Do not ask whether an offline token is active before it is used."
    )

    def warnings(self) -> list[str]:
        return super().warnings() + unencrypted(
            self.iam_url, "tokens and a secret travel to iam_url without encryption"
        )


class OfflineAccessAuthenticator(TokenAuthenticator):
    """`Bearer <offline token>`, for which the provider gives an access token, which says who it is."""

    Settings: ClassVar[type[AuthenticatorSettings]] = OfflineAccessSettings
    hint = "Offline token of your account"

    def __init__(self, realm: str, settings: OfflineAccessSettings, data: Path) -> None:
        super().__init__(
            *(realm, settings, data, settings.public_client_id),
            issuer=settings.jwt_iss,
            audience=settings.jwt_aud,
        )
        base = endpoints(settings.iam_url, settings.iam_realm)
        self._token_url, self._check_url = f"{base}/token", f"{base}/token/introspect"
        self._issuer = settings.jwt_iss
        self._public_client = settings.public_client_id
        # RFC 6749, 2.3.1: both are encoded as in a form; not all know that `+` is a space there.
        secret = quote(settings.private_client_secret.get_secret_value(), safe="")
        client = f"{quote(settings.private_client_id, safe='')}:{secret}"
        self._private_client = SecretStr(f"Basic {b64encode(client.encode()).decode()}")
        self._checks = not settings.disable_check

    async def authenticate(self, credentials: str) -> User | None:
        if not self._may_be_offline(credentials):
            return None
        if self._checks and not await self._is_active(credentials):
            return None
        token = await self._request_access_token(credentials)
        if token is None:
            return None
        user = await self._tokens.user(token)
        if user is None:
            logger.warning(
                "%s: an access token that does not count: check jwt_iss, jwt_aud, algorithms, clocks",
                self._token_url,
            )
        return user

    def _may_be_offline(self, token: str) -> bool:
        """Whether it is worth a call: the token of another service must not be shown to the provider."""
        if len(token) > LARGEST_TOKEN:
            return False
        try:
            found = jwt.decode_complete(token, options={"verify_signature": False})
        except UNREADABLE:
            return False
        claims = found["payload"]
        return (claims.get("typ"), claims.get("iss")) == (_OFFLINE, self._issuer)

    async def _is_active(self, token: str) -> bool:
        """Whether the provider says that it is an offline token that counts."""
        headers = {"Authorization": self._private_client.get_secret_value()}
        answer = await self._service.call("POST", self._check_url, headers=headers, data={"token": token})
        found = answer.document
        if answer.status in (401, 403):
            keys = "private_client_id, private_client_secret"
            raise client_refused(self._service, self._check_url, answer, keys)
        if answer.status != 200 or not isinstance(found, dict) or not isinstance(found.get("active"), bool):
            raise self._service.unavailable(self._check_url, f"status {answer.status}")
        # Versions of Keycloak differ in the name.
        kinds = (found.get("token_type"), found.get("typ"))
        return bool(found["active"]) and _OFFLINE in kinds

    async def _request_access_token(self, token: str) -> str | None:
        """The access token for an offline token; None if the provider gives none."""
        form = {
            "grant_type": "refresh_token",
            "client_id": self._public_client,
            "refresh_token": token,
        }
        answer = await self._service.call("POST", self._token_url, data=form)
        if answer.status in (400, 401):
            if refuses_client(answer):
                raise client_refused(self._service, self._token_url, answer, "public_client_id")
            return None
        access_token = answer.text("access_token")
        if answer.status != 200 or access_token is None:
            raise self._service.unavailable(self._token_url, f"status {answer.status}")
        return access_token
