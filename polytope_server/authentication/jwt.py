"""Signed tokens (JWT) of an OpenID provider."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, ClassVar

import jwt
from jwt.types import Options
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from polytope_server.authentication import Authenticator, AuthenticatorSettings
from polytope_server.authentication.key_set import Algorithm, KeySet
from polytope_server.authentication.outgoing import Address, OutgoingService
from polytope_server.user import User

_log = logging.getLogger(__name__)

#: What callers are told when it is down.
UNAVAILABLE = "The service that vouches for tokens cannot be reached at the moment"
#: Seconds by which clocks may differ.
_LEEWAY = 10
#: A longer token is not looked at.
LARGEST_TOKEN = 64 << 10
_LONGEST_NAME, _MOST_ROLES = 255, 1000
#: RFC 8725, 3.11: a token that says it is for something else, a log-out for example, is no access token.
_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class TokenSettings(AuthenticatorSettings):
    """How signatures of tokens are checked."""

    cert_url: Address = Field(
        description="Where the provider shows its public keys (JWKS), in Keycloak "
        "`https://keycloak.example.org/realms/<realm>/protocol/openid-connect/certs`."
    )
    algorithms: list[Algorithm] = Field(
        ["RS256", "ES256"], min_length=1, description="Algorithms of signatures that are accepted."
    )
    timeout: float = Field(10.0, gt=0, le=300, description="Seconds after which the service counts as down.")

    def warnings(self) -> list[str]:
        if self.cert_url.startswith("http://"):
            return ["whoever is between this server and cert_url can log in as anybody; use https://"]
        return []


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
            found.append("without issuer, a token counts whoever issued it, if its key is at cert_url")
        if self.audience is None:
            found.append("without audience, a token that was made for another service counts here, too")
        return found


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("not a name")
    return name


_Name = Annotated[str, Field(min_length=1, max_length=_LONGEST_NAME), AfterValidator(_printable)]


class _Access(BaseModel):
    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    roles: list[_Name] = Field(default_factory=list, max_length=_MOST_ROLES)


class _Claims(BaseModel):
    """What a token says of a user."""

    model_config = ConfigDict(strict=True, hide_input_in_errors=True)
    sub: _Name
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
        unverified = self._checked(token)
        if unverified is None:
            return None
        header = unverified["header"]
        algorithm = header.get("alg")
        if algorithm not in self._keys.algorithms or str(header.get("typ", "JWT")).lower() not in _TYPES:
            return None
        key = await self._keys.find(header.get("kid"), algorithm)
        verified = None if key is None else self._checked(token, key)
        return None if verified is None else self._user(verified["payload"])

    def _checked(self, token: str, key: jwt.PyJWK | None = None) -> dict[str, Any] | None:
        """Header and payload of a token that is for this server and now; with a `key`, signed by it."""
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
        except (jwt.PyJWTError, ValueError, ArithmeticError, RecursionError) as error:
            _log.debug("a token of realm %s does not count: %s", self._realm, type(error).__name__)
            return None

    def _user(self, payload: dict[str, Any]) -> User | None:
        try:
            claims = _Claims.model_validate(payload)
        except ValidationError:
            return None
        client = claims.resource_access.get(self._client_id, _Access())
        roles = dict.fromkeys((*client.roles, *claims.realm_access.roles))
        return User(claims.sub, self._realm, tuple(roles), until=claims.exp + _LEEWAY)


class JWTAuthenticator(Authenticator):
    """`Bearer <token>`: a token that the provider signed, with the user and their roles."""

    Settings: ClassVar[type[AuthenticatorSettings]] = JWTSettings
    scheme = "Bearer"
    hint = "Access token of your account"

    def __init__(self, realm: str, settings: JWTSettings, data: Path) -> None:
        super().__init__(realm, settings, data)
        self._service = OutgoingService(UNAVAILABLE, settings.timeout)
        self._keys = KeySet(settings.cert_url, settings.algorithms, self._service)
        self._tokens = Tokens(
            realm, self._keys, settings.client_id, issuer=settings.issuer, audience=settings.audience
        )

    async def open(self) -> None:
        await self._service.open()

    async def close(self) -> None:
        await self._keys.close()
        await self._service.close()

    async def authenticate(self, credentials: str) -> User | None:
        return await self._tokens.user(credentials)
