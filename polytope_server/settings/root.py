"""The typed configuration: every section and key with its type, default and description.

Sections that choose a back-end (`request_store: {sql: {...}}`) are kept as mappings here and checked
against the `Settings` of that back-end by :mod:`polytope_server.config.check`. A description that ends in
"no effect." marks a key that is accepted for the sake of earlier servers' files, and named by `config check`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, ValidationInfo, field_validator, model_validator

from polytope_server.settings.addresses import HTTPBase
from polytope_server.settings.data import CollectionSettings, FederationSettings
from polytope_server.settings.frontend import FrontendSettings, SupportSettings
from polytope_server.settings.management import MetricsSettings
from polytope_server.settings.processes import BrokerSettings, GarbageCollectorSettings, WorkerSettings
from polytope_server.settings.secrets import SecretsSettings
from polytope_server.settings.section import Section, part
from polytope_server.settings.values import (
    Backend,
    Level,
    Mapped,
    chosen,
    expected,
)


class LoggingSettings(Section):
    """`logging`."""

    mode: Literal["json", "prettyprint", "console", "logserver"] = Field(
        "json", description="`json`: one object a line; `prettyprint` and `console`: for people."
    )
    level: Level = Field("INFO", description="Least level that is logged: DEBUG, INFO, WARNING or ERROR.")
    primary_fields: list[str] = Field(
        default_factory=list, description="Key of the earlier server; no effect."
    )
    defaults: dict[str, Any] = Field(
        default_factory=lambda: {"app": "polytope-server"},
        description="Fields added to each line in mode json.",
    )
    reserved_attrs: list[str] = Field(
        default_factory=list, description="Key of the earlier server; no effect."
    )


class AdminSettings(Section):
    """`admin`: who manages users."""

    roles: Annotated[dict[str, list[str]], expected("roles by realm ({realm: [role]})")] = Field(
        default_factory=dict, description="Roles that may manage users, by realm."
    )


class CoercionSettings(Section):
    """`coercion`: how a request is brought into canonical form. Lists are added to the built-in ones."""

    allow_ranges: list[str] = Field(default_factory=list, description="Further keys that may hold a range.")
    allow_lists: list[str] = Field(default_factory=list, description="Further keys that may hold a list.")
    number_allow_zero: bool = Field(False, description="Whether ensemble member 0 is allowed.")


class ScheduleSettings(Section):
    """`schedule`: when data are released."""

    file: Path | None = Field(
        None,
        description="XML file with the products of data sources that have `obey_schedule`, on the machines "
        "of the frontends; read again when it changes. By default `/etc/polytope_schedule/schedule.xml` if "
        "the variable `SCHEDULE_ENABLED` is `true`, else none.",
    )


class WorkerDeploymentSettings(Section):
    """`deployment.worker`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    replicas: int = Field(40, ge=1, description="Greatest number of requests in the queue.")


class DeploymentSettings(Section):
    """`deployment`: what an earlier server's chart wrote; only `worker.replicas` has an effect."""

    model_config = ConfigDict(extra="allow", frozen=True)

    worker: WorkerDeploymentSettings = part(WorkerDeploymentSettings, description="Of the workers.")


class TestrunnerSettings(Section):
    """`testrunner`."""

    model_config = ConfigDict(extra="allow", frozen=True)

    url: HTTPBase | None = Field(
        None,
        description="Where the REST API is, `/api/v1` left out; by default the address of the frontend.",
    )
    users: list[dict[str, str]] | dict[str, Any] = Field(
        default_factory=list,
        description="Users of the tests, two at least: `{uid, password}`; by default the `plain` users.",
    )


class Settings(Section):
    """The whole configuration."""

    version: Annotated[str | int | float | None, expected("a text or a number")] = Field(
        None, description="Key of the earlier server; no effect."
    )
    developer: dict[str, Any] = Field(
        default_factory=dict, description="Key of the earlier server; no effect."
    )
    timeout: Annotated[float | str | None, expected("a text or a number")] = Field(
        None, description="Key of the earlier server; no effect."
    )
    logging: LoggingSettings = part(LoggingSettings, description="What is logged, and how.")
    frontend: FrontendSettings = part(FrontendSettings, description="The REST API.")
    support: SupportSettings = part(SupportSettings, description="Where users get help.")
    broker: BrokerSettings = part(BrokerSettings, description="Decides which waiting request runs next.")
    worker: WorkerSettings = part(WorkerSettings, description="Fetches data and puts them into staging.")
    garbage_collector: GarbageCollectorSettings = part(
        GarbageCollectorSettings,
        alias="garbage-collector",
        description="Removes what is old, too much, or orphaned.",
    )
    deployment: DeploymentSettings = part(
        DeploymentSettings, description="Written by an earlier server's chart."
    )
    secrets: SecretsSettings = part(SecretsSettings, description="What the machines of a deployment share.")
    admin: AdminSettings = part(AdminSettings, description="Who manages users.")
    coercion: CoercionSettings = part(
        CoercionSettings, description="How a request is brought into canonical form."
    )
    schedule: ScheduleSettings = part(ScheduleSettings, description="When data are released.")
    request_store: Backend = part(
        lambda: {"sql": {}}, description="Keeps the requests: one back-end and its keys."
    )
    queue: Backend = part(
        lambda: {"local": {}},
        description="Hands requests to workers: one back-end and its keys.",
    )
    notices: Backend = part(
        lambda: {"local": {}},
        description="Notifies processes of requests that changed: one back-end and its keys. By default "
        "that of the queue, with its keys.",
    )
    staging: Backend = part(
        lambda: {"local": {}},
        description="Keeps results and uploads: one back-end and its keys.",
    )
    caching: Backend = part(
        lambda: {"memory": {}},
        description="Remembers verified credentials, and counts for limits: one back-end and its keys.",
    )
    metric_store: Backend = part(
        lambda: {"sql": {}}, description="Keeps usage statistics: one back-end and its keys."
    )
    identity: Backend = Field(
        default_factory=dict, description="Keeps users: one back-end and its keys; off unless given."
    )
    api_keys: dict[str, Any] = Field(
        default_factory=dict,
        alias="api-keys",
        description="Keys that users make for themselves; off unless given.",
    )
    authentication: dict[str, Any] = Field(
        default_factory=dict,
        description="By realm: `authenticators` and `authorizers`. `cache`: how long a verified credential "
        "is remembered (default 60 s). `auth-o-tron`: a service that checks credentials.",
    )
    federation: dict[str, FederationSettings] = Field(
        default_factory=dict, description="Servers that may act for users, by any name."
    )
    datasources: dict[str, Mapped] = Field(
        default_factory=dict, description="Data sources by name, for use by collections."
    )
    collections: dict[str, CollectionSettings] = Field(
        default_factory=dict, description="Collections by name, in the order in which they are listed."
    )
    telemetry: dict[str, Any] = Field(
        default_factory=dict, description="Not part of this version; no effect."
    )
    metrics: MetricsSettings = part(MetricsSettings, description="Buckets of the histograms for Prometheus.")
    testrunner: TestrunnerSettings = part(
        TestrunnerSettings, description="How `pytest tests/integration --config FILE` finds this deployment."
    )

    @model_validator(mode="before")
    @classmethod
    def _notices_go_by_the_queue(cls, keys: Any) -> Any:
        """Notices reach the same machines as the queue, unless the configuration says otherwise."""
        queue = keys.get("queue") if isinstance(keys, dict) else None
        named = chosen(queue) if isinstance(queue, dict) else {}
        if not named or chosen(keys.get("notices") or {}) or len(named) > 1:
            return keys
        return {**keys, "notices": named}

    @field_validator(
        *("request_store", "queue", "notices", "staging", "caching", "metric_store", "identity"),
        mode="before",
    )
    @classmethod
    def _embedded_unless_named(cls, section: Any, info: ValidationInfo) -> Any:
        if not isinstance(section, dict):
            return section
        default = cls.model_fields[str(info.field_name)].get_default(call_default_factory=True)
        return chosen(section) or default
