"""Typed sections whose parts have names of the operator's choice: collections, data sources, realms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from polytope_server.settings.addresses import HTTPAddress, parts_of
from polytope_server.settings.section import Section, part
from polytope_server.settings.values import (
    Count,
    Duration,
    Mapped,
    MemorySize,
    QueueName,
    RequestSize,
    Roles,
    Size,
    UserCount,
    expected,
)

#: `authentication.cache`: for at most this long a removed user is still accepted.
CacheTime = Annotated[
    Duration, Field(le=3600, description="How long a verified credential is remembered; 60 s by default.")
]

#: A key for HS256 is as long as the hash (RFC 7518, 3.2).
_SECRET_LENGTH = 32
#: Bits; auth-o-tron makes no tokens with less.
_WEAKEST_RSA = 2048


#: Sections that name one back-end and nothing else: `request_store: {sql: {...}}`.
SECTIONS = ("request_store", "queue", "notices", "staging", "caching", "metric_store", "identity")
#: What a realm may have, and the concern of its back-ends.
REALM = {"authenticators": "authenticator", "authorizers": "authorizer"}
AUTH_O_TRON = "auth-o-tron"
#: Keys of the section `authentication` that are not the name of a realm.
NO_REALMS = ("cache", AUTH_O_TRON)


class LimitsSettings(Section):
    """`collections.<name>.limits`."""

    total: Count | None = Field(None, description="Active requests of the collection; 0 holds all.")
    per_user: UserCount | None = Field(
        None,
        alias="per-user",
        description="Active requests of a user whose roles have no limit: a number, `none` or `unlimited`; "
        "0: no limit.",
    )
    per_role: dict[str, dict[str, UserCount]] = Field(
        default_factory=dict,
        alias="per-role",
        description="Active requests of a user, by realm and role; the largest counts. `none` forbids, "
        "whatever other roles say, `unlimited` lifts; 0: this role says nothing.",
    )


class AboutSettings(Section):
    """`collections.<name>.about`: what users read of a collection."""

    title: str = Field("", max_length=200, description="Its name in a few words.")
    description: str = Field("", max_length=10_000, description="What is in it.")
    licence: str = Field("", max_length=2000, description="The licence of the data, or its address.")
    attribution: str = Field(
        "", max_length=2000, description="What those who use the data must write beside them."
    )
    contact: str = Field("", max_length=500, description="Who answers questions: an address.")
    documentation: str = Field("", max_length=500, description="Address of a page about the data.")
    examples: list[dict[str, Any]] = Field(
        default_factory=list, max_length=50, description="Requests that users may copy."
    )


class CollectionSettings(Section):
    """`collections.<name>`."""

    roles: Roles | None = Field(
        None, description="Who may use it: roles by realm; `any` is every role. Without roles, no user may."
    )
    limits: LimitsSettings = part(LimitsSettings, "How many requests may be active (queued or processing).")
    about: AboutSettings = part(AboutSettings, "What users read of it, at `GET /api/v1/collections/<name>`.")
    queue: QueueName = Field(
        "default",
        description="The queue of its requests, see `worker.queues`: requests that take long do not hold up "
        "those of another queue.",
    )
    max_request: RequestSize | None = Field(
        None, description="Largest request, as text; by default `frontend.max_request`."
    )
    datasources: list[
        Annotated[
            str | dict[str, Any], expected("the name of a data source, or {name: X, ...} with overrides")
        ]
    ] = Field(
        min_length=1, description="Names of data sources, in order, or `{name: X, ...}` with overrides."
    )


class DataSourceSection(Section):
    """`datasources.<name>`: keys that every data source may have."""

    type: str | None = Field(
        None, description="What kind it is. May come from `parents`, or from the data sources that inherit."
    )
    name: str | None = Field(None, description="In a collection: which data source; elsewhere no effect.")
    parents: list[str] = Field(
        default_factory=list, description="Data sources whose keys it inherits; lists are joined."
    )
    roles: Roles | None = Field(
        None,
        description="Who may use it, of those who may use the collection: roles by realm; `any` is every "
        "role. Without roles, all of them.",
    )
    match: Mapped = Field(
        default_factory=dict,
        description="Values that requests must have, by key; `[]`: the key must be absent. They are "
        "read as those of requests are: `0010` is a name, and no octal number.",
    )
    defaults: Mapped = Field(default_factory=dict, description="Values of keys that a request does not have.")
    patch: Mapped = Field(default_factory=dict, description="Values that replace those of a request.")
    obey_schedule: bool = Field(
        False,
        description="Whether requests are refused for data that are not released yet, see `schedule.file`. "
        "Uploads are not judged.",
    )
    repr: str | None = Field(None, description="What users see instead of its name.")
    max_attempts: int | None = Field(
        None, ge=1, le=100, description="How often a request is tried; by default `worker.max_attempts`."
    )
    max_memory: MemorySize | None = Field(
        None,
        description="Private memory that a request may use in a child of the worker, 2G by default; one that "
        "needs more fails. `unlimited`: what the system gives. On Linux only.",
    )
    max_result: Size | None = Field(
        None, gt=0, description="Largest result; by default `worker.max_result`. A larger one fails."
    )
    queue: QueueName | None = Field(
        None, description="The queue of its requests; by default that of the collection."
    )


class RealmSettings(Section):
    """`authentication.<realm>`."""

    authenticators: dict[str, Mapped] = Field(
        default_factory=dict, description="By any name: `type`, and the keys of that type."
    )
    authorizers: dict[str, Mapped] = Field(
        default_factory=dict, description="By any name: `type`, and the keys of that type."
    )


class APIKeysSettings(Section):
    """`api-keys`: off unless given."""

    generator: dict[str, Any] | None = Field(
        None, description="Makes keys for users: `type`, and the keys of that type."
    )
    authenticator: dict[str, Any] | None = Field(
        None, description="Accepts keys as credentials: `type`, and the keys of that type."
    )


class FederationSettings(Section):
    """`federation.<name>`: a server that acts for users."""

    secret: str = Field(
        pattern=r"^[^:,\s]+$",
        repr=False,
        description="The secret shared with that server, without colon, comma and space.",
    )
    allowed_realms: Annotated[list[str] | str, expected("a list of realms, or any")] = Field(
        "any", alias="allowed-realms", description="Realms for whose users it may act, or `any`."
    )


class AuthOTronSettings(Section):
    """`authentication.auth-o-tron`: a service that checks credentials, and says user, realm and roles."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(
        "http://auth-o-tron-svc:8080", description="Base of the service, what comes before `/authenticate`."
    )
    secret: SecretStr | None = Field(
        None,
        min_length=1,
        description="Up to version 0.3: the secret with which the service signs its tokens (HS256).",
    )
    public_keys: dict[str, str] = Field(
        default_factory=dict,
        description="From version 0.4: its public RSA keys by `kid`, in PEM, with which tokens are checked "
        "(RS256); while keys change, both.",
    )
    jwks_url: HTTPAddress | None = Field(
        None, description="The same, where the keys are published as a key set (JWKS)."
    )
    issuer: str | None = Field(
        None, min_length=1, description="With public keys: what `iss` of a token must be."
    )
    audience: str | None = Field(
        None, min_length=1, description="With public keys: what `aud` of a token must be."
    )
    timeout: float = Field(10.0, gt=0, le=300, description="Seconds after which the service counts as down.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = parts_of(url)
        if parts is None or parts.scheme not in ("", "http", "https") or parts.query:
            raise ValueError("expected an address such as https://auth.example.org")
        return url.rstrip("/")

    @field_validator("public_keys")
    @classmethod
    def _check_keys(cls, keys: dict[str, str]) -> dict[str, str]:
        # Not above: it takes longer to import than all other settings, and few configurations need it.
        from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key

        for kid, text in keys.items():
            try:
                key = load_pem_public_key(text.encode())
            except ValueError:
                key = None
            if not kid or not isinstance(key, RSAPublicKey) or key.key_size < _WEAKEST_RSA:
                raise ValueError(
                    f"expected public RSA keys of {_WEAKEST_RSA} bits or more by kid, as texts that begin "
                    f"with -----BEGIN PUBLIC KEY-----; the one of {kid!r} is none"
                )
        return keys

    @model_validator(mode="after")
    def _know_one_kind_of_signature(self) -> AuthOTronSettings:
        given = [name for name in ("secret", "public_keys", "jwks_url") if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "none"
            raise ValueError(
                "expected one of secret (auth-o-tron up to 0.3), public_keys and jwks_url (from 0.4), by "
                f"which tokens are checked; found {found}"
            )
        named = [name for name in ("issuer", "audience") if getattr(self, name) is None]
        if self.secret is None and named:
            raise ValueError(f"{given[0]} needs {' and '.join(named)}, as in the section jwt of auth-o-tron")
        if self.secret is not None and len(named) < 2:
            raise ValueError("issuer and audience need public_keys or jwks_url: with secret they say nothing")
        return self

    @property
    def address(self) -> str:
        """`url`; without a scheme, as in the default of an earlier server, it is http."""
        return self.url if "://" in self.url else f"http://{self.url}"

    def warnings(self) -> list[str]:
        """Warnings of `config check` about valid keys."""
        found = []
        if self.address != self.url:
            found.append(f"url has no scheme; it is taken as {self.address}")
        if self.secret is not None and len(self.secret.get_secret_value().encode()) < _SECRET_LENGTH:
            found.append(f"secret has fewer than {_SECRET_LENGTH} characters: tokens could be forged")
        if self.jwks_url is not None and self.jwks_url.lower().startswith("http:"):
            found.append("anyone between this server and jwks_url can log in as any user; use https://")
        return found
