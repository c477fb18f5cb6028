"""An OpenID provider on this machine, of the package `authlib`: keys that rotate, grants, introspection.

Token endpoint, clients, the tokens of RFC 9068 and the introspection of RFC 7662 are those of `authlib`, the
keys those of `joserfc`. What is Keycloak's own is added after its documentation: the paths, the claims `typ`,
`azp`, `realm_access` and `resource_access`, and offline tokens that are themselves JWTs, signed by a secret.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

import jwt
import requests
from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request, TokenMixin, grants
from authlib.oauth2.rfc6749.errors import InvalidGrantError
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7662 import IntrospectionEndpoint
from authlib.oauth2.rfc9068 import JWTBearerTokenGenerator
from credential_services import CredentialService, Reply
from joserfc.jwk import ECKey, KeySet, RSAKey

_ENDPOINT_METHODS = ("client_secret_basic", "none")


@dataclass
class Account:
    """A user of the provider."""

    sub: str
    password: str
    realm_roles: list[str] = field(default_factory=list)
    client_roles: dict[str, list[str]] = field(default_factory=dict)
    enabled: bool = True

    def get_user_id(self) -> str:
        return self.sub


@dataclass
class OAuthClient(ClientMixin):
    """A client; a public one has no secret."""

    client_id: str
    secret: str = ""
    audience: str = "polytope"
    seconds: int = 300

    def get_client_id(self) -> str:
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.secret) and secrets.compare_digest(client_secret.encode(), self.secret.encode())

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_basic" if self.secret else "none")

    def check_grant_type(self, grant_type: str) -> bool:
        return not self.secret and grant_type in ("password", "refresh_token")

    def get_allowed_scope(self, scope: str | None) -> str:
        return scope or ""


@dataclass
class RefreshToken(TokenMixin):
    """A refresh token that was given out."""

    account: Account
    client: OAuthClient
    scope: str
    revoked: bool = False

    def check_client(self, client: OAuthClient) -> bool:
        return client is self.client

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return self.revoked or not self.account.enabled

    @property
    def type(self) -> str:
        return "Offline" if "offline_access" in self.scope.split() else "Refresh"


class OpenIDProvider(CredentialService):
    """One realm."""

    def __init__(
        self,
        realm: str,
        clients: list[OAuthClient],
        accounts: list[Account],
        key: RSAKey | ECKey | None = None,
    ) -> None:
        """`realm` is as it appears in an address; without a `key` it makes one, which takes 0.1 s."""
        super().__init__()
        self.realm = realm
        self.clients = {client.client_id: client for client in clients}
        self.accounts = accounts
        self.refresh_tokens: dict[str, RefreshToken] = {}
        #: The first signs; all are shown.
        self.keys: list[RSAKey | ECKey] = [key or new_key()]
        self.forms: list[dict[str, str]] = []
        self._secret = secrets.token_hex(64)
        self._server = _Server(self)

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{self.realm}"

    @property
    def cert_url(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/certs"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/token"

    @property
    def reads(self) -> int:
        """How often the keys were read."""
        return sum(path.endswith("/certs") for path in self.seen)

    def rotate(self, key: RSAKey | ECKey | None = None, *, keep: bool = False) -> None:
        """Sign by another key from now on; the earlier ones are withdrawn unless `keep`."""
        self.keys = [key or new_key(), *(self.keys if keep else [])]

    def grant(self, client_id: str, sub: str, password: str, scope: str = "openid") -> dict[str, Any]:
        """The answer to a password grant."""
        form = {
            "grant_type": "password",
            "client_id": client_id,
            "username": sub,
            "password": password,
            "scope": scope,
        }
        with requests.Session() as session:
            session.trust_env = False
            answer = session.post(self.token_url, data=form, timeout=10)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if path == f"/realms/{self.realm}/protocol/openid-connect/certs":
            shown = KeySet(self.keys).as_dict(private=False)
            return 200, json.dumps(shown).encode(), {"Content-Type": "application/json"}
        request = _Request(method, f"https://provider.example{path}", headers=headers)
        request.payload = BasicOAuth2Payload(dict(parse_qsl(body.decode(), keep_blank_values=True)))
        self.forms.append(request.payload.data)
        reply: Reply = (404, b'{"error":"Realm does not exist"}', {})
        if method == "POST" and path == f"/realms/{self.realm}/protocol/openid-connect/token":
            reply = self._server.create_token_response(request)
        elif method == "POST" and path == f"/realms/{self.realm}/protocol/openid-connect/token/introspect":
            reply = self._server.create_endpoint_response("introspection", request)
        return reply

    def account(self, sub: str, password: str) -> Account:
        """Raises InvalidGrantError."""
        for account in self.accounts:
            if account.sub == sub and secrets.compare_digest(account.password, password):
                return account
        raise InvalidGrantError("Invalid user credentials")

    def new_refresh_token(self, client: OAuthClient, grant_type: str, user: Account, scope: str) -> str:
        token = RefreshToken(user, client, scope)
        claims = {
            "iat": int(time.time()),
            "jti": secrets.token_hex(16),
            "iss": self.issuer,
            "aud": self.issuer,
            "sub": user.sub,
            "typ": token.type,
            "azp": client.client_id,
            "scope": scope,
        }
        text = jwt.encode(claims, self._secret, "HS512", {"kid": secrets.token_hex(8)})
        self.refresh_tokens[text] = token
        return text


def new_key(kind: type[RSAKey] | type[ECKey] = RSAKey, **parameters: Any) -> RSAKey | ECKey:
    """A key for signatures, with an id of its own."""
    size = 2048 if kind is RSAKey else "P-256"
    default = {"use": "sig", "alg": "RS256" if kind is RSAKey else "ES256", "kid": secrets.token_urlsafe(16)}
    return kind.generate_key(size, {**default, **parameters})  # type: ignore[arg-type]


class _Request(OAuth2Request):
    @property
    def form(self) -> Any:
        return self.payload.data


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _ENDPOINT_METHODS

    def authenticate_user(self, username: str, password: str) -> Account:
        return self.server.provider.account(username, password)


class _RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = _ENDPOINT_METHODS

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshToken | None:
        token = self.server.provider.refresh_tokens.get(refresh_token)
        return None if token is None or token.is_revoked() else token

    def authenticate_user(self, refresh_token: RefreshToken) -> Account:
        return refresh_token.account

    def revoke_old_credential(self, refresh_token: RefreshToken) -> None:
        """Offline tokens may be used again."""


class _Introspection(IntrospectionEndpoint):
    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token_string: str, token_type_hint: str | None) -> RefreshToken | None:
        return self.server.provider.refresh_tokens.get(token_string)

    def check_permission(self, token: RefreshToken, client: OAuthClient, request: Any) -> bool:
        return True

    def introspect_token(self, token: RefreshToken) -> dict[str, Any]:
        return {
            "active": True,
            "client_id": token.client.client_id,
            "sub": token.account.sub,
            "token_type": token.type,
        }


class _AccessTokens(JWTBearerTokenGenerator):
    def __init__(self, provider: OpenIDProvider) -> None:
        super().__init__(
            provider.issuer,
            refresh_token_generator=provider.new_refresh_token,
            expires_generator=lambda client, grant_type: client.seconds,
        )
        self._provider = provider

    def get_jwks(self) -> Any:
        return KeySet(self._provider.keys[:1])

    def access_token_generator(self, client: OAuthClient, grant_type: str, user: Account, scope: str) -> str:
        self.alg = self._provider.keys[0].alg
        token: str = super().access_token_generator(client, grant_type, user, scope)
        return token

    def get_audiences(self, client: OAuthClient, user: Account, scope: str) -> list[str]:
        return [client.audience, "account"]

    def get_extra_claims(
        self, client: OAuthClient, grant_type: str, user: Account, scope: str
    ) -> dict[str, Any]:
        return {
            "typ": "Bearer",
            "azp": client.client_id,
            "realm_access": {"roles": user.realm_roles},
            "resource_access": {name: {"roles": roles} for name, roles in user.client_roles.items()},
        }


class _Server(AuthorizationServer):
    def __init__(self, provider: OpenIDProvider) -> None:
        super().__init__()
        self.provider = provider
        self.register_grant(_PasswordGrant)
        self.register_grant(_RefreshGrant)
        self.register_endpoint(_Introspection(self))
        self.register_token_generator("default", _AccessTokens(provider))

    def query_client(self, client_id: str) -> OAuthClient | None:
        return self.provider.clients.get(client_id)

    def save_token(self, token: Mapping[str, Any], request: OAuth2Request) -> None:
        """Access tokens speak for themselves, refresh tokens are kept where they are made."""

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        return status, json.dumps(body).encode(), dict(headers)

    def send_signal(self, *_: Any, **__: Any) -> None:
        pass
