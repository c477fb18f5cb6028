"""Services on this machine that know credentials: a who-am-i, an auth-o-tron, and an OpenID provider.

The OpenID provider stands for a Keycloak, which needs Java and a container and cannot be had here. Its token
endpoint, the authentication of its clients and the protection of its userinfo are those of the package
`authlib` (RFC 6749 and 6750). What is Keycloak's own is added after its documentation: the paths, user names
in any case, the e-mail address in place of the user name, the scopes that a client has by default, and the
status and words of `invalid_grant` and `invalid_client`.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, parse_qsl, urlsplit

import jwt
from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    OAuth2Request,
    ResourceProtector,
    TokenMixin,
    grants,
)
from authlib.oauth2.rfc6749.errors import InvalidClientError, InvalidGrantError, OAuth2Error
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc6750 import BearerTokenGenerator, BearerTokenValidator
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

Reply = tuple[int, bytes, Mapping[str, str]]


class CredentialService(ThreadingHTTPServer):
    """An HTTP service in threads; `answers` replaces what it says at paths that end so, `hang` delays it."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, Reply] = {}
        self.hang: threading.Event | None = None
        self.seen: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.hang is not None:
            self.hang.set()
        self.shutdown()
        self._thread.join()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Quiet: callers give up and hang up."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """What the service says by itself."""
        raise NotImplementedError

    def replied(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        self.seen.append(path)
        if self.hang is not None:
            self.hang.wait(10)
        replaced = (reply for end, reply in self.answers.items() if urlsplit(path).path.endswith(end))
        return next(replaced, None) or self.reply(method, path, headers, body)


class _Handler(BaseHTTPRequestHandler):
    server: CredentialService
    protocol_version = "HTTP/1.1"
    # The head and the body of an answer are two writes: with Nagle's algorithm they take 40 ms.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, body, headers = self.server.replied(self.command, self.path, self.headers, body)
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, *arguments: Any) -> None:
        """Quiet."""


class WhoAmI(CredentialService):
    """Knows the owner of each key."""

    def __init__(self, owners: Mapping[str, dict[str, str]]) -> None:
        """`owners` are `{uid, email}` by key."""
        super().__init__()
        self._owners = dict(owners)

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        parts, authorization = urlsplit(path), headers.get("Authorization")
        if authorization is None:
            (token,) = parse_qs(parts.query).get("token", [""])
        else:
            token = authorization.removeprefix("Bearer ").encode("latin-1").decode()
        owner = self._owners.get(token) if parts.path.endswith("/who-am-i") else None
        return (403, b"{}", {}) if owner is None else (200, json.dumps(owner).encode(), {})


class AuthOTron(CredentialService):
    """Knows the claims of each credential, and signs them, as `GET /authenticate` of auth-o-tron does."""

    def __init__(self, secret: str, known: Mapping[str, dict[str, Any]]) -> None:
        """`known` are claims by `<scheme> <credentials>`, where the scheme is Basic or Bearer."""
        super().__init__()
        self.secret = secret
        self.known = dict(known)
        self.forwarded: list[str] = []

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        authorization = headers.get("Authorization", "")
        self.forwarded.append(authorization)
        claims = self.known.get(authorization)
        if (method, path) != ("GET", "/authenticate") or claims is None:
            challenge = 'Bearer realm="one", Basic realm="two"'
            return 401, b"Unauthorized access", {"WWW-Authenticate": challenge}
        return self.signed(claims)

    def signed(self, claims: Mapping[str, Any], **how: Any) -> Reply:
        """The answer that vouches for these claims, as versions up to 0.3 sign it.

        `how` are arguments of :func:`jwt.encode`.
        """
        return self.vouched(claims, **{"key": self.secret, "algorithm": "HS256", **how})

    @staticmethod
    def vouched(claims: Mapping[str, Any], **how: Any) -> Reply:
        """The answer with a token that is signed in that way."""
        now = int(time.time())
        subject = f"{claims.get('realm')}-{claims.get('username')}"
        claims = {
            "sub": subject, "iss": "auth-o-tron", "iat": now, "exp": now + 3600, "scopes": None, **claims,
        }  # fmt: skip
        token = jwt.encode(claims, how.pop("key"), how.pop("algorithm"), **how)
        return 200, b"Authenticated successfully", {"Authorization": f"Bearer {token}"}


class AuthOTron04(AuthOTron):
    """The same from version 0.4 on: signed by an RSA key, which the token names, for one audience."""

    def __init__(self, key: RSAPrivateKey, kid: str, known: Mapping[str, dict[str, Any]]) -> None:
        super().__init__("", known)
        self.key, self.kid = key, kid

    def signed(self, claims: Mapping[str, Any], **how: Any) -> Reply:
        how = {"key": self.key, "algorithm": "RS256", "headers": {"kid": self.kid}, **how}
        return self.vouched({"aud": "polytope", **claims}, **how)


@dataclass
class Person:
    """A user of the OpenID provider."""

    username: str
    password: str
    claims: dict[str, Any] = field(default_factory=dict)
    enabled: bool = True


class Client(ClientMixin):
    """The client that stands for a server."""

    def __init__(self, client_id: str, secret: str) -> None:
        self.client_id = client_id
        self._secret = secret
        #: "openid" makes the answer an OpenID one; the others a client of Keycloak has by default.
        self.default_scopes = "profile email"

    def get_client_id(self) -> str:
        return self.client_id

    def check_client_secret(self, client_secret: str) -> bool:
        if not secrets.compare_digest(client_secret.encode(), self._secret.encode()):
            raise InvalidClientError("Invalid client or Invalid client credentials", status_code=401)
        return True

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method in ("client_secret_post", "client_secret_basic")

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type == "password"

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(dict.fromkeys([*(scope or "").split(), *self.default_scopes.split()]))


@dataclass
class Token(TokenMixin):
    """An access token that was given out."""

    person: Person
    scope: str

    def get_scope(self) -> str:
        return self.scope

    def is_expired(self) -> bool:
        return False

    def is_revoked(self) -> bool:
        return not self.person.enabled


class Keycloak(CredentialService):
    """One realm with one client."""

    def __init__(self, realm: str, client: Client, people: list[Person]) -> None:
        super().__init__()
        self._base = f"/realms/{realm}/protocol/openid-connect"
        self.client = client
        self.people = people
        self.forms: list[dict[str, str]] = []
        self._tokens: dict[str, Token] = {}
        self._server = _Server(self)
        self._protector = ResourceProtector()
        self._protector.register_token_validator(_Validator(self))

    def reply(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        request = _Request(method, f"https://keycloak.example{path}", headers=headers)
        request.payload = BasicOAuth2Payload(dict(parse_qsl(body.decode(), keep_blank_values=True)))
        if path == f"{self._base}/token" and method == "POST":
            self.forms.append(request.payload.data)
            reply: Reply = self._server.create_token_response(request)
            return reply
        if path == f"{self._base}/userinfo":
            return self._userinfo(request)
        return 404, b'{"error":"Realm does not exist"}', {}

    def person(self, name: str, password: str) -> Person:
        """Raises InvalidGrantError in Keycloak's words, with its status."""
        for person in self.people:
            if name.lower() in (person.username, person.claims.get("email")):
                if not person.enabled:
                    raise InvalidGrantError("Account disabled")
                if secrets.compare_digest(person.password.encode(), password.encode()):
                    return person
        raise InvalidGrantError("Invalid user credentials", status_code=401)

    def issue(self, token: Mapping[str, Any], person: Person) -> None:
        """Remember a token that was given out."""
        self._tokens[token["access_token"]] = Token(person, token["scope"])

    @property
    def token_texts(self) -> list[str]:
        """The access tokens that were given out."""
        return list(self._tokens)

    def token(self, text: str) -> Token | None:
        return self._tokens.get(text)

    def _userinfo(self, request: OAuth2Request) -> Reply:
        try:
            token = self._protector.validate_request(["openid"], request)
        except OAuth2Error as error:
            return _encoded(*error())
        person = token.person
        claims: dict[str, Any] = {"sub": f"id of {person.username}", **person.claims}
        if "profile" in token.scope.split():
            claims["preferred_username"] = person.username
        return _encoded(200, claims, [("Content-Type", "application/json")])


class _Request(OAuth2Request):
    @property
    def form(self) -> Any:
        return self.payload.data


class _PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic", "client_secret_post")

    def authenticate_user(self, username: str, password: str) -> Person:
        return self.server.keycloak.person(username, password)


class _Server(AuthorizationServer):
    def __init__(self, keycloak: Keycloak) -> None:
        super().__init__()
        self.keycloak = keycloak
        self.register_grant(_PasswordGrant)
        self.register_token_generator("default", BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32)))

    def query_client(self, client_id: str) -> Client | None:
        return self.keycloak.client if client_id == self.keycloak.client.client_id else None

    def save_token(self, token: Mapping[str, Any], request: OAuth2Request) -> None:
        self.keycloak.issue(token, request.user)

    def create_oauth2_request(self, request: OAuth2Request) -> OAuth2Request:
        return request

    def handle_response(self, status: int, body: Any, headers: Any) -> Reply:
        return _encoded(status, body, headers)

    def send_signal(self, *_: Any, **__: Any) -> None:
        pass


class _Validator(BearerTokenValidator):
    def __init__(self, keycloak: Keycloak) -> None:
        super().__init__()
        self._keycloak = keycloak

    def authenticate_token(self, token_string: str) -> Token | None:
        return self._keycloak.token(token_string)


def _encoded(status: int, body: Any, headers: Any) -> Reply:
    return status, json.dumps(body).encode(), dict(headers)


def basic(username: str, password: str) -> str:
    """The credentials of the scheme Basic."""
    return b64encode(f"{username}:{password}".encode()).decode()
