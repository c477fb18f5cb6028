"""Typed sections whose parts have names of the operator's choice: collections, data sources, realms."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field, SecretStr, field_validator

from polytope_server.settings.addresses import parts_of
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


class CollectionSettings(Section):
    """`collections.<name>`."""

    roles: Roles | None = Field(
        None, description="Who may use it: roles by realm; `any` is every role. Without roles, no user may."
    )
    limits: LimitsSettings = part(LimitsSettings, "How many requests may be active (queued or processing).")
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
        description="Values that requests must have, by key; `[]`: the key must be absent.",
    )
    defaults: Mapped = Field(default_factory=dict, description="Values of keys that a request does not have.")
    patch: Mapped = Field(default_factory=dict, description="Values that replace those of a request.")
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
    secret: SecretStr = Field(
        min_length=1, description="The secret with which the service signs its tokens (HS256)."
    )
    timeout: float = Field(10.0, gt=0, le=300, description="Seconds after which the service counts as down.")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        parts = parts_of(url)
        if parts is None or parts.scheme not in ("", "http", "https") or parts.query:
            raise ValueError("expected an address such as https://auth.example.org")
        return url.rstrip("/")

    @property
    def address(self) -> str:
        """`url`; without a scheme, as in the default of an earlier server, it is http."""
        return self.url if "://" in self.url else f"http://{self.url}"

    def warnings(self) -> list[str]:
        """Warnings of `config check` about valid keys."""
        found = []
        if self.address != self.url:
            found.append(f"url has no scheme; it is taken as {self.address}")
        if len(self.secret.get_secret_value().encode()) < _SECRET_LENGTH:
            found.append(f"secret has fewer than {_SECRET_LENGTH} characters: tokens could be forged")
        return found
