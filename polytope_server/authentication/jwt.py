"""Signed tokens (JWT) of an OpenID provider."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from pydantic import Field

from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.tokens import TokenAuthenticator, TokenSettings
from polytope_server.user import User


class JWTSettings(TokenSettings):
    """Keys of the authenticator `jwt`."""

    client_id: str = Field(
        min_length=1, description="Name of the client whose roles a user gets, besides those of the realm."
    )
    issuer: str | None = Field(
        None, min_length=1, description="What `iss` of a token must be; without it, anything."
    )
    audience: str | None = Field(
        None, min_length=1, description="What `aud` of a token must hold; without it, anything."
    )

    def warnings(self) -> list[str]:
        found = super().warnings()
        if self.issuer is None:
            found.append("without issuer, tokens of every issuer count whose key is at cert_url")
        if self.audience is None:
            found.append("without audience, a token that was made for another service counts here, too")
        return found


class JWTAuthenticator(TokenAuthenticator):
    """`Bearer <token>`: a token that the provider signed, with the user and their roles."""

    Settings: ClassVar[type[AuthenticatorSettings]] = JWTSettings
    hint = "Access token of your account"
    # It reads the keys of the provider, to which no token is shown.
    forwards = False

    def __init__(self, realm: str, settings: JWTSettings, data: Path) -> None:
        super().__init__(
            *(realm, settings, data, settings.client_id),
            issuer=settings.issuer,
            audience=settings.audience,
        )

    async def authenticate(self, credentials: str) -> User | None:
        return await self._tokens.user(credentials)
