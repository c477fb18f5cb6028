"""auth-o-tron: a service that checks credentials of several schemes, and answers with a signed token."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any, ClassVar, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from polytope_server.authentication import Authenticator
from polytope_server.authentication.names import Name
from polytope_server.authentication.outgoing import OutgoingService, ServiceAuthenticator
from polytope_server.authentication.tokens import UNREADABLE
from polytope_server.settings.data import AuthOTronSettings
from polytope_server.user import User

logger = logging.getLogger(__name__)

_UNAVAILABLE = "The service that checks credentials cannot be reached at the moment"
#: What it can be sent: one word, which does not end the header or begin another credential.
_WORD = re.compile(r"[!-+\--~]+")
#: PyJWT warns of a shorter key.
_KEY_LENGTH = 32
#: The token has all roles of a user, and may be longer than a usual header.
_LARGEST_TOKEN = 64 << 10
_HINTS = {
    "Basic": "User name and password",
    "Plain": "User name and password, as for Basic",
    "EmailKey": "E-mail and key of your account",
    "Bearer": "Token or key of your account",
}


def authenticators(settings: AuthOTronSettings, data: Path) -> list[Authenticator]:
    """One authenticator for each scheme that the service is asked about; they share its connections."""
    service = OutgoingService(_UNAVAILABLE, settings.timeout)
    return [AuthOTronAuthenticator(scheme, settings, service, data) for scheme in _HINTS]


class _Claims(BaseModel):
    """What a token says of a user."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    username: Name
    realm: Name
    roles: list[Name] = Field(default_factory=list)
    attributes: dict[str, str] = Field(default_factory=dict)
    exp: float


class AuthOTronAuthenticator(ServiceAuthenticator):
    """Credentials of one scheme; the service says user, realm, roles and attributes."""

    users: ClassVar[Literal["realm", "any", "none"]] = "any"

    def __init__(
        self, scheme: str, settings: AuthOTronSettings, service: OutgoingService, data: Path
    ) -> None:
        """`scheme` is one of those that :func:`authenticators` makes; `service` is opened and closed here."""
        super().__init__("polytope", settings, data, service)
        self.scheme = scheme
        self.hint = _HINTS[scheme]
        self._secret: SecretStr = settings.secret
        self._url = f"{settings.address}/authenticate"

    async def authenticate(self, credentials: str) -> User | None:
        forwarded = self._forwarded_header(credentials)
        if forwarded is None:
            return None
        answer = await self._service.call(
            "GET",
            self._url,
            headers={"Authorization": forwarded},
            max_field_size=_LARGEST_TOKEN,
        )
        if answer.status in (401, 403):
            return None
        if answer.status != 200:
            raise self._service.unavailable(self._url, f"status {answer.status}")
        return self._user_of_claims(answer.headers.get("Authorization", ""))

    def _forwarded_header(self, credentials: str) -> str | None:
        """The header for the service, which knows Basic and Bearer; None for what cannot be right."""
        scheme, word = self.scheme, credentials
        if scheme == "EmailKey":
            email, _, word = credentials.partition(":")
            scheme = "Bearer" if email else ""
        elif scheme == "Plain":
            scheme = "Basic"
        return f"{scheme} {word}" if scheme and _WORD.fullmatch(word) else None

    def _user_of_claims(self, authorization: str) -> User | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise self._service.unavailable(self._url, "status 200 without a token")
        try:
            claims = _Claims.model_validate(self._verify_token(token))
        except jwt.ExpiredSignatureError:
            logger.warning("%s: the token has ended already: are the clocks in step?", self._url)
            return None
        # Only the kind of error is logged: the text may hold what the token says.
        except UNREADABLE as error:
            reason = f"a token that cannot be used ({type(error).__name__}): is the secret the same?"
        else:
            return User(
                claims.username, claims.realm, tuple(claims.roles), claims.attributes, until=claims.exp
            )
        raise self._service.unavailable(self._url, reason)

    def _verify_token(self, token: str) -> dict[str, Any]:
        """The claims of a token that is signed with the secret, and has not ended."""
        claims: dict[str, Any] = jwt.decode(
            token,
            self._signing_key(),
            algorithms=["HS256"],
            # It was made for this call: there is no audience to check, and clocks differ by a second.
            options={"require": ["exp"], "verify_aud": False, "verify_iat": False},
        )
        return claims

    def _signing_key(self) -> bytes:
        # HMAC fills a short key up with zeros (RFC 2104, 2). PyJWT would warn of it at each token; the
        # operator reads it in `config check`.
        return self._secret.get_secret_value().encode().ljust(_KEY_LENGTH, b"\0")
