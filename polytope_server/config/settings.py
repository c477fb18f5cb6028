"""The typed configuration: every section and key with its type, default and description.

Sections that choose a back-end (`request_store: {sql: {...}}`) are kept as mappings here and checked
against the `Settings` of that back-end by :mod:`polytope_server.config.check`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)d)?(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", re.IGNORECASE)
_FACTORS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_duration(value: Any) -> float:
    """Seconds of a duration such as `90`, `"60s"`, `"24h"` or `"1d12h"`. Raises ValueError."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a duration is a number of seconds or a text such as '60s', '24h', '1d12h'")
    text = str(value).strip()
    try:
        seconds = float(text)
    except ValueError:
        found = _DURATION.fullmatch(text)
        if not found or not text:
            raise ValueError("a duration is a number of seconds or a text such as '60s', '24h', '1d12h'") from None
        days, hours, minutes, rest = (float(part or 0) for part in found.groups())
        seconds = ((days * 24 + hours) * 60 + minutes) * 60 + rest
    if not 0 <= seconds < 1e12:
        raise ValueError("a duration must be 0 or more, and finite")
    return seconds


def parse_size(value: Any) -> int:
    """Bytes of a size such as `1024`, `"10G"`, `"1.5G"` or `"10GB"` (powers of 1024). Raises ValueError."""
    found = None if isinstance(value, bool) else _SIZE.fullmatch(str(value).strip())
    if not found:
        raise ValueError("a size is a number of bytes or a text such as '512K', '10M', '1.5G', '1T'")
    return int(float(found[1]) * _FACTORS[found[2].upper()])


Duration = Annotated[float, BeforeValidator(parse_duration)]
Size = Annotated[int, BeforeValidator(parse_size)]
Port = Annotated[int, Field(ge=0, le=65535)]
Backend = dict[str, dict[str, Any] | None]


class Section(BaseModel):
    """A section of the configuration. An unknown key is an error."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)


class FrontendSettings(Section):
    """`frontend`: the REST API."""

    server: str = Field("gunicorn", description="Key of the earlier server; no effect.")
    handler: str = Field("falcon", description="Key of the earlier server; no effect.")
    bind_to: str = Field("localhost", description="Host name or address to listen on.")
    port: Port = Field(5000, description="Port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="Number of server processes.")
    proxy_support: bool = Field(
        False,
        description="Trust one hop of X-Forwarded-For, -Proto, -Host, -Port and -Prefix. "
        "Only behind a proxy that sets them.",
    )
    public_url: str | None = Field(
        None, description="Base of absolute Locations, for example `https://polytope.example.org`."
    )
    poll_wait: Duration = Field(
        10.0, le=300, description="A poll is held at most this long until the request ends; 0 for no hold."
    )
    submit_wait: Duration = Field(
        0.0, le=300, description="A POST is held at most this long, to report an early failure on it."
    )
    max_body: Size = Field(2 << 20, description="Largest body of a call that is not an upload.")
    max_upload: Size = Field(1 << 40, description="Largest upload.")


class BrokerSettings(Section):
    """`broker`: decides which waiting request runs next."""

    interval: Duration = Field(
        10.0, gt=0, description="Longest time between two looks into the store, which repair lost notices."
    )
    lease: Duration = Field(3.0, gt=0, description="How long a broker leads without renewing its lease.")


class WorkerSettings(Section):
    """`worker`: fetches data and puts it into staging."""

    concurrency: int = Field(4, ge=1, le=1024, description="Requests at a time in each worker process.")
    max_attempts: int = Field(3, ge=1, le=100, description="How often a request is tried before it fails.")
    lease: Duration = Field(
        15.0, ge=0.5, description="How long a claim lasts without being renewed. A worker renews at a third of it."
    )
    timeout: Duration = Field(21600.0, gt=0, description="Longest time that one attempt may take.")
    grace: Duration = Field(
        20.0, description="How long a worker that is told to stop waits for its requests to end."
    )
    retry_delay: Duration = Field(
        1.0, description="Pause before the second attempt; it doubles with each further one, up to a minute."
    )
    input_hosts: list[str] = Field(
        default_factory=list, description="Hosts from which the input of an archive may be fetched."
    )
    max_input: Size = Field(1 << 40, description="Largest input fetched from such a host.")
    poll_interval: Duration = Field(0.1, description="Key of the earlier server; no effect.")


class GarbageCollectorSettings(Section):
    """`garbage-collector`: removes what is old, too much, or orphaned."""

    interval: Duration = Field(60.0, gt=0, description="Time between two passes.")
    threshold: Size = Field(
        10 << 30, description="Size of the staging from which on the oldest results are removed."
    )
    age: Duration = Field(86400.0, description="Age at which processed and failed requests are removed.")
    upload_age: Duration = Field(
        86400.0, description="Age at which requests that wait for an upload fail to get one and are removed."
    )
    metric_age: Duration = Field(86400.0, description="Age at which metrics are removed.")


class LoggingSettings(Section):
    """`logging`."""

    mode: Literal["json", "prettyprint", "console", "logserver"] = Field(
        "json", description="`json`: one object a line; `prettyprint` and `console`: for people."
    )
    level: str = Field("INFO", description="Least level that is logged: DEBUG, INFO, WARNING or ERROR.")
    primary_fields: list[str] = Field(default_factory=list, description="Key of the earlier server; no effect.")
    defaults: dict[str, Any] = Field(
        default_factory=lambda: {"app": "polytope-server"}, description="Fields added to each line in mode json."
    )
    reserved_attrs: list[str] = Field(default_factory=list, description="Key of the earlier server; no effect.")


class AdminSettings(Section):
    """`admin`: who manages users."""

    roles: dict[str, list[str]] = Field(
        default_factory=dict, description="Roles that may manage users, by realm."
    )


class CoercionSettings(Section):
    """`coercion`: how a request is brought into canonical form. Lists are added to the built-in ones."""

    allow_ranges: list[str] = Field(default_factory=list, description="Further keys that may hold a range.")
    allow_lists: list[str] = Field(default_factory=list, description="Further keys that may hold a list.")
    number_allow_zero: bool = Field(False, description="Whether ensemble member 0 is allowed.")


class WorkerDeploymentSettings(Section):
    """`deployment.worker`."""

    model_config = ConfigDict(extra="allow", frozen=True)
    replicas: int = Field(40, ge=1, description="Greatest number of requests in the queue.")


class DeploymentSettings(Section):
    """`deployment`: what an earlier server's chart wrote; only `worker.replicas` has an effect."""

    model_config = ConfigDict(extra="allow", frozen=True)
    worker: WorkerDeploymentSettings = Field(default_factory=WorkerDeploymentSettings)


class LimitsSettings(Section):
    """`collections.<name>.limits`."""

    total: int | None = Field(None, ge=0, description="Active requests of the collection; 0 holds all.")
    per_user: int | None = Field(None, ge=0, alias="per-user", description="Active requests of a user; 0: no limit.")
    per_role: dict[str, dict[str, int]] = Field(
        default_factory=dict, alias="per-role", description="Active requests of a user, by realm and role."
    )


class CollectionSettings(Section):
    """`collections.<name>`."""

    roles: dict[str, str | list[str]] | list[str] | str | None = Field(
        None, description="Who may use it: roles by realm. Without roles, nobody."
    )
    limits: LimitsSettings = Field(default_factory=LimitsSettings)
    datasources: list[str | dict[str, Any]] = Field(
        min_length=1, description="Names of data sources, in order, or `{name: X, ...}` with overrides."
    )


class FederationSettings(Section):
    """`federation.<name>`: a server that acts for users."""

    secret: str = Field(description="The secret shared with that server.")
    allowed_realms: list[str] | str = Field(
        "any", alias="allowed-realms", description="Realms for whose users it may act, or `any`."
    )


class Settings(Section):
    """The whole configuration."""

    version: str | int | float | None = Field(None, description="Key of the earlier server; no effect.")
    developer: dict[str, Any] = Field(default_factory=dict, description="Key of the earlier server; no effect.")
    timeout: float | str | None = Field(None, description="Key of the earlier server; no effect.")
    logging: LoggingSettings = Field(default_factory=LoggingSettings)
    frontend: FrontendSettings = Field(default_factory=FrontendSettings)
    broker: BrokerSettings = Field(default_factory=BrokerSettings)
    worker: WorkerSettings = Field(default_factory=WorkerSettings)
    garbage_collector: GarbageCollectorSettings = Field(
        default_factory=GarbageCollectorSettings, alias="garbage-collector"
    )
    deployment: DeploymentSettings = Field(default_factory=DeploymentSettings)
    admin: AdminSettings = Field(default_factory=AdminSettings)
    coercion: CoercionSettings = Field(default_factory=CoercionSettings)
    request_store: Backend = Field(default_factory=lambda: {"sql": {}}, description="`sql` or `memory`.")
    queue: Backend = Field(default_factory=lambda: {"local": {}}, description="`local`.")
    notices: Backend = Field(default_factory=lambda: {"local": {}}, description="`local`.")
    staging: Backend = Field(default_factory=lambda: {"local": {}}, description="`local`.")
    caching: Backend = Field(default_factory=lambda: {"memory": {}}, description="`memory`.")
    metric_store: Backend = Field(default_factory=lambda: {"sql": {}}, description="`sql`.")
    identity: Backend = Field(default_factory=dict, description="`sql`; off unless given.")
    api_keys: dict[str, Any] = Field(
        default_factory=dict, alias="api-keys", description="`generator` and `authenticator`; off unless given."
    )
    authentication: dict[str, Any] = Field(
        default_factory=dict, description="By realm: `authenticators` and `authorizers`."
    )
    federation: dict[str, FederationSettings] = Field(
        default_factory=dict, description="Servers that may act for users."
    )
    datasources: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="Data sources by name, for use by collections."
    )
    collections: dict[str, CollectionSettings] = Field(
        default_factory=dict, description="Collections by name, in the order in which they are listed."
    )
    telemetry: dict[str, Any] = Field(default_factory=dict, description="Not part of this version; no effect.")
    metrics: dict[str, Any] = Field(default_factory=dict, description="Not part of this version; no effect.")
    testrunner: dict[str, Any] = Field(default_factory=dict, description="Read by the integration tests only.")
