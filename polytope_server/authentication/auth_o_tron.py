"""auth-o-tron: a service that checks credentials of several schemes, and answers with a signed token."""

from __future__ import annotations

import logging
import re
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import jwt
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from polytope_server.authentication import Authenticator
from polytope_server.authentication.key_set import FixedKeys, KeySet
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
    signatures = _make_signatures(settings, service)
    return [AuthOTronAuthenticator(scheme, settings, service, signatures, data) for scheme in _HINTS]


class Signatures(ABC):
    """What tells the tokens of the service from forged ones: one algorithm, and its keys."""

    async def close(self) -> None:  # noqa: B027 -- most have nothing to close
        """Let go of all resources; it may be called several times."""

    @abstractmethod
    async def verify(self, token: str) -> dict[str, Any]:
        """The claims of a token that is signed, and has not ended.

        Raises what is in UNREADABLE, and AuthenticationUnavailableError if its key cannot be had now.
        """


class SecretSignatures(Signatures):
    """HS256: up to version 0.3 of the service. Anyone who has the secret can make tokens, too."""

    def __init__(self, secret: SecretStr) -> None:
        self._secret = secret

    async def verify(self, token: str) -> dict[str, Any]:
        return _decode_token(token, self._signing_key(), "HS256", ["exp"])

    def _signing_key(self) -> bytes:
        # HMAC fills a short key up with zeros (RFC 2104, 2). PyJWT would warn of it at each token; the
        # operator reads it in `config check`.
        return self._secret.get_secret_value().encode().ljust(_KEY_LENGTH, b"\0")


class PublicKeySignatures(Signatures):
    """RS256: from version 0.4 of the service. A token names its key, the issuer, and for whom it is."""

    def __init__(self, keys: FixedKeys | KeySet, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def close(self) -> None:
        await self._keys.close()

    async def verify(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        # Before a key is looked for: nothing is asked about a token that does not count anyway.
        if header.get("alg") != "RS256" or not isinstance(kid, str):
            raise jwt.InvalidAlgorithmError("the token is not signed with RS256 by a key that it names")
        key = await self._keys.find(kid, "RS256")
        if key is None:
            raise jwt.InvalidKeyError("the key of the token is not known")
        return _decode_token(token, key, "RS256", ["exp", "iss", "aud"], self._issuer, self._audience)


def _make_signatures(settings: AuthOTronSettings, service: OutgoingService) -> Signatures:
    """What the settings, which have been checked, say of signatures."""
    if settings.secret is not None:
        return SecretSignatures(settings.secret)
    keys: FixedKeys | KeySet = FixedKeys(settings.public_keys)
    if settings.jwks_url is not None:
        keys = KeySet(settings.jwks_url, ["RS256"], service)
    return PublicKeySignatures(keys, settings.issuer or "", settings.audience or "")


def _decode_token(
    token: str,
    key: Any,
    algorithm: str,
    required: list[str],
    issuer: str | None = None,
    audience: str | None = None,
) -> dict[str, Any]:
    """The claims of a token; `issuer` and `audience` are not checked if they are None."""
    claims: dict[str, Any] = jwt.decode(
        token,
        key,
        algorithms=[algorithm],
        # It was made for this call: clocks differ by a second.
        options={"require": required, "verify_aud": audience is not None, "verify_iat": False},
        issuer=issuer,
        audience=audience,
    )
    return claims


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
        self,
        scheme: str,
        settings: AuthOTronSettings,
        service: OutgoingService,
        signatures: Signatures,
        data: Path,
    ) -> None:
        """`scheme` is one of those that :func:`authenticators` makes; the others are closed here."""
        super().__init__("polytope", settings, data, service)
        self.scheme = scheme
        self.hint = _HINTS[scheme]
        self._signatures = signatures
        self._url = f"{settings.address}/authenticate"

    async def close(self) -> None:
        await self._signatures.close()
        await super().close()

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
        return await self._find_user(answer.headers.get("Authorization", ""))

    def _forwarded_header(self, credentials: str) -> str | None:
        """The header for the service, which knows Basic and Bearer; None for what cannot be right."""
        scheme, word = self.scheme, credentials
        if scheme == "EmailKey":
            email, _, word = credentials.partition(":")
            scheme = "Bearer" if email else ""
        elif scheme == "Plain":
            scheme = "Basic"
        return f"{scheme} {word}" if scheme and _WORD.fullmatch(word) else None

    async def _find_user(self, authorization: str) -> User | None:
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise self._service.unavailable(self._url, "status 200 without a token")
        try:
            claims = _Claims.model_validate(await self._signatures.verify(token))
        except jwt.ExpiredSignatureError:
            logger.warning("%s: the token has ended already: are the clocks in step?", self._url)
            return None
        # Only the kind of error is logged: the text may hold what the token says.
        except UNREADABLE as error:
            reason = f"a token that cannot be used ({type(error).__name__}): is it signed as configured here?"
        else:
            return User(
                claims.username, claims.realm, tuple(claims.roles), claims.attributes, until=claims.exp
            )
        raise self._service.unavailable(self._url, reason)
