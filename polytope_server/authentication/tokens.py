"""The signed tokens (JWT) of one provider, and what is common to the authenticators that take them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import jwt
from jwt.types import Options
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from polytope_server.authentication import AuthenticatorSettings
from polytope_server.authentication.key_set import Algorithm, KeySet
from polytope_server.authentication.names import Name
from polytope_server.authentication.outgoing import (
    Address,
    OutgoingService,
    ServiceAuthenticator,
    Timeout,
    unencrypted,
)
from polytope_server.user import User

logger = logging.getLogger(__name__)

_UNAVAILABLE = "The service that vouches for tokens cannot be reached at the moment"
#: Seconds by which clocks may differ.
_LEEWAY = 10
#: A longer token is not looked at.
LARGEST_TOKEN = 64 << 10
#: What PyJWT raises at what is no token; the versions differ in which claims of a wrong type raise TypeError.
UNREADABLE = (jwt.PyJWTError, ValueError, TypeError, ArithmeticError, RecursionError)
_MOST_ROLES = 1000
#: RFC 8725, 3.11: a token that says it is for something else, a log-out for example, is no access token.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
#: The same in the claim `typ` of Keycloak. They have the issuer, the audience and the key of access tokens,
#: but go where those do not: an ID token through browsers and their logs.
_OTHER_KINDS = frozenset({"id", "logout", "refresh", "offline"})


class TokenSettings(AuthenticatorSettings):
    """How signatures of tokens are checked."""

    cert_url: Address = Field(
        description="Where the provider shows its public keys (JWKS), in Keycloak "
        "`https://keycloak.example.org/realms/<realm>/protocol/openid-connect/certs`."
    )
    algorithms: list[Algorithm] = Field(
        ["RS256", "ES256"], min_length=1, description="Algorithms of signatures that are accepted."
    )
    timeout: Timeout = 10.0

    def warnings(self) -> list[str]:
        return unencrypted(
            self.cert_url, "a man in the middle between this server and cert_url can log in as any user"
        )


class _Access(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    roles: list[Name] = Field(default_factory=list, max_length=_MOST_ROLES)


class _Claims(BaseModel):
    """What a token says of a user."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    sub: Name
    exp: float
    realm_access: _Access = Field(default_factory=_Access)
    resource_access: dict[str, _Access] = Field(default_factory=dict)


class Tokens:
    """Finds the users of tokens that one provider signed."""

    def __init__(
        self, realm: str, keys: KeySet, client_id: str, *, issuer: str | None, audience: str | None
    ) -> None:
        """`client_id` is whose roles count; `issuer` and `audience` are not checked if they are None."""
        self._realm = realm
        self._keys = keys
        self._client_id = client_id
        self._issuer = issuer
        self._audience = audience

    async def user(self, token: str) -> User | None:
        """The user of a token, until it ends; None if it does not count.

        Raises :class:`~polytope_server.authentication.AuthenticationUnavailableError` if its key cannot be
        had now.
        """
        if len(token) > LARGEST_TOKEN:
            return None
        # Before a key is looked for, as nothing must be asked about a token that does not count anyway.
        unverified = self._decode_token(token)
        if unverified is None:
            return None
        header = unverified["header"]
        algorithm = header.get("alg")
        if algorithm not in self._keys.algorithms or not _is_access_token(unverified):
            return None
        key = await self._keys.find(header.get("kid"), algorithm)
        verified = None if key is None else self._decode_token(token, key)
        return None if verified is None else self._user_of_claims(verified["payload"])

    def _decode_token(self, token: str, key: jwt.PyJWK | None = None) -> dict[str, Any] | None:
        """Header and payload of a token that is for this server and now; with a `key`, signed by it."""
        # PERF: not in a thread, to which to go and come back takes as long: 0.3 ms by RS256, 1 ms by ES512.
        options: Options = {
            "verify_signature": key is not None,
            "verify_exp": True,
            "verify_nbf": True,
            "verify_iat": True,
            "verify_iss": self._issuer is not None,
            "verify_aud": self._audience is not None,
            "require": ["exp", "sub"],
        }
        try:
            return jwt.decode_complete(
                token,
                key or "",
                algorithms=[key.algorithm_name] if key else None,
                options=options,
                issuer=self._issuer,
                audience=self._audience,
                leeway=_LEEWAY,
            )
        except UNREADABLE as error:
            logger.debug("a token of realm %s does not count: %s", self._realm, type(error).__name__)
            return None

    def _user_of_claims(self, payload: dict[str, Any]) -> User | None:
        try:
            claims = _Claims.model_validate(payload)
        except ValidationError:
            return None
        client = claims.resource_access.get(self._client_id, _Access())
        roles = dict.fromkeys((*client.roles, *claims.realm_access.roles))
        return User(claims.sub, self._realm, tuple(roles), until=claims.exp + _LEEWAY)


def _is_access_token(token: dict[str, Any]) -> bool:
    header, payload = token["header"], token["payload"]
    return (
        str(header.get("typ", "JWT")).lower() in _TYPES
        and str(payload.get("typ", "")).lower() not in _OTHER_KINDS
    )


class TokenAuthenticator(ServiceAuthenticator):
    """Opens and closes what :class:`Tokens` needs."""

    scheme = "Bearer"

    def __init__(
        self,
        realm: str,
        settings: TokenSettings,
        data: Path,
        client_id: str,
        *,
        issuer: str | None,
        audience: str | None,
    ) -> None:
        super().__init__(realm, settings, data, OutgoingService(_UNAVAILABLE, settings.timeout))
        #: The public keys of the provider.
        self.keys = KeySet(settings.cert_url, settings.algorithms, self._service)
        self._tokens = Tokens(realm, self.keys, client_id, issuer=issuer, audience=audience)

    async def close(self) -> None:
        await self.keys.close()
        await super().close()
