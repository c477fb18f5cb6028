"""Collections: what a user may ask for, from which data sources, and how much at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from polytope_server.roles import Roles, has_role
from polytope_server.user import User

#: The queue of everything that names no other.
DEFAULT_QUEUE = "default"

#: A limit of one user: a number (0: this role, or the configuration, says nothing), none at all, or no limit.
UserLimit = int | Literal["none", "unlimited"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How many requests of a collection may be active (queued or processing) at a time.

    None stands for no limit; `total` 0 holds everything. `per_role` is `{realm: {role: limit}}`.
    """

    total: int | None = None
    per_user: UserLimit | None = None
    per_role: Mapping[str, Mapping[str, UserLimit]] = field(default_factory=dict)

    def of_user(self, user: User) -> int | None:
        """How many a user may have; None: any number.

        The largest limit of the user's roles, else `per_user`. A role with `none` forbids, whatever other
        roles say. 0 says nothing, as in earlier servers: neither a role's nor `per_user`.
        """
        by_role = self.per_role.get(user.realm, {})
        of_roles: set[UserLimit | None] = {limit for role in user.roles if (limit := by_role.get(role))}
        given = of_roles or {self.per_user}
        if "none" in given:
            return 0
        if "unlimited" in given:
            return None
        return max((limit for limit in given if isinstance(limit, int)), default=0) or None


@dataclass(frozen=True, slots=True)
class DataSourceConfig:
    """One data source of a collection: its name and its effective keys (parents and overrides merged)."""

    name: str
    type: str
    keys: Mapping[str, Any] = field(repr=False)  # they may hold passwords

    @property
    def label(self) -> str:
        """What users see of it: its `repr`, else its name."""
        return str(self.keys.get("repr") or self.name)


@dataclass(frozen=True, slots=True)
class About:
    """What users read of a collection; empty is what the operator does not say."""

    title: str = ""
    description: str = ""
    licence: str = ""
    attribution: str = ""
    contact: str = ""
    documentation: str = ""
    #: Requests that users may copy.
    examples: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Collection:
    """A named set of data, served by its data sources in order."""

    name: str
    datasources: tuple[DataSourceConfig, ...]
    roles: Roles = None
    limits: Limits = field(default_factory=Limits)
    queue: str = DEFAULT_QUEUE
    #: Bytes of the text of a request.
    max_request: int = 64 << 10
    about: About = field(default_factory=About)

    def admits(self, user: User) -> bool:
        """Whether `user` may use this collection: a request that could never run is not taken."""
        return has_role(self.roles, user.realm, user.roles) and self.limits.of_user(user) != 0

    def datasource(self, name: str) -> DataSourceConfig | None:
        """The data source of that name, None where this collection has none."""
        return next((source for source in self.datasources if source.name == name), None)

    def queue_of(self, datasource: str) -> str:
        """The queue for requests that go to the data source of that name."""
        source = self.datasource(datasource)
        return str(source.keys.get("queue") or self.queue) if source else self.queue


def queues(collections: Iterable[Collection]) -> list[str]:
    """The queues to which requests of these collections go, the default one first."""
    named = {
        collection.queue_of(source.name) for collection in collections for source in collection.datasources
    }
    return [DEFAULT_QUEUE, *sorted(named - {DEFAULT_QUEUE})]
