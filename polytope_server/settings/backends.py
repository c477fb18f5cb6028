"""Finds back-ends and data sources by the name that the configuration gives them.

Built-in ones are listed here; further ones come from other packages through entry points of the group
`polytope_server.<concern>s` (for example `polytope_server.datasources`). A back-end is a class with an
attribute `Settings`, a pydantic model of its configuration keys.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from polytope_server.settings.packages import explain_missing

#: concern -> name in the configuration -> "module:class", below polytope_server.
BUILT_IN: dict[str, dict[str, str]] = {
    "request_store": {
        "sql": "request_store.sql:SQLRequestStore",
        "memory": "request_store.memory:MemoryRequestStore",
        "mongodb": "request_store.mongodb:MongoDBRequestStore",
    },
    "queue": {"local": "queue.local:LocalQueue", "rabbitmq": "queue.rabbitmq:RabbitMQQueue"},
    "notices": {
        "local": "notices.local:LocalNotices",
        "rabbitmq": "notices.rabbitmq:RabbitMQNotices",
        "mongodb": "notices.mongodb:MongoDBNotices",
        "postgresql": "notices.postgresql:PostgreSQLNotices",
    },
    "staging": {
        "local": "staging.local:LocalStaging",
        "s3": "staging.s3:S3Staging",
        "polytope": "staging.polytope:PolytopeStaging",
    },
    "caching": {
        "memory": "caching.memory:MemoryCache",
        "redis": "caching.redis:RedisCache",
        "memcached": "caching.memcached:MemcachedCache",
        "mongodb": "caching.mongodb:MongoDBCache",
    },
    "metric_store": {
        "sql": "metric_store.sql:SQLMetricStore",
        "mongodb": "metric_store.mongodb:MongoDBMetricStore",
    },
    "identity": {
        "sql": "accounts.users.sql:SQLIdentity",
        "mongodb": "accounts.users.mongodb:MongoDBIdentity",
    },
    "api_key": {
        "sql": "accounts.api_keys.sql:SQLAPIKeys",
        "mongodb": "accounts.api_keys.mongodb:MongoDBAPIKeys",
    },
    "authenticator": {
        "plain": "authentication.plain:PlainAuthenticator",
        "sql": "authentication.sql:SQLAuthenticator",
        "mongodb": "authentication.mongodb:MongoDBAuthenticator",
        "mongoapikey": "authentication.mongoapikey:MongoDBAPIKeyAuthenticator",
        "anonymous": "authentication.anonymous:AnonymousAuthenticator",
        "ecmwfapi": "authentication.ecmwfapi:ECMWFAPIAuthenticator",
        "keycloak": "authentication.keycloak:KeycloakAuthenticator",
        "jwt": "authentication.jwt:JWTAuthenticator",
        "openid_offline_access": "authentication.openid:OfflineAccessAuthenticator",
    },
    "authorizer": {
        "plain": "authorization.plain:PlainAuthorizer",
        "sql": "authorization.sql:SQLAuthorizer",
        "mongodb": "authorization.mongodb:MongoDBAuthorizer",
        "ldap": "authorization.ldap:LDAPAuthorizer",
    },
    "datasource": {
        "echo": "datasource.echo:EchoDataSource",
        "dummy": "datasource.dummy:DummyDataSource",
        "raise": "datasource.raising:RaiseDataSource",
        "http": "datasource.http:HTTPDataSource",
        "fdb": "datasource.fdb:FDBDataSource",
        "polytope": "datasource.polytope:PolytopeDataSource",
        "mars": "datasource.mars:MARSDataSource",
        "webmars": "datasource.webmars:WebMARSDataSource",
    },
}

#: Other spellings of earlier servers' configurations.
ALIASES = {
    ("caching", "globalvar"): "memory",
    ("staging", "s3_boto3"): "s3",
    ("api_key", "mongoapikey"): "mongodb",
}

#: Extras of this package that bring what a back-end needs, where they are not called like it.
EXTRAS = {"mongoapikey": "mongodb"}

#: Groups of entry points whose name is not that of the concern and an s.
GROUPS = {"identity": "polytope_server.identities", "notices": "polytope_server.notices"}

#: What earlier servers had and this version lacks: the error says so, lest the operator look for a typo.
NOT_BUILT: dict[str, frozenset[str]] = {
    "request_store": frozenset({"dynamodb"}),
    "queue": frozenset({"sqs"}),
    "metric_store": frozenset({"dynamodb"}),
    "datasource": frozenset({"ionbeam", "federated"}),
}


class UnknownBackendError(LookupError):
    """No back-end of that name is available; the message lists those that are."""


def names(concern: str) -> list[str]:
    """The names of the back-ends of a concern that are installed, sorted."""
    return sorted({*BUILT_IN[concern], *(point.name for point in plug_ins(concern))})


def load(concern: str, name: str) -> Any:
    """The class of a back-end. Raises :class:`UnknownBackendError` with a message for the operator."""
    name = ALIASES.get((concern, name), name)
    for point in plug_ins(concern):
        if point.name == name:
            return _imported(concern, name, point.load)
    target = BUILT_IN[concern].get(name)
    if target is None:
        known = ", ".join(names(concern))
        reason = (
            "is not part of this version"
            if name in NOT_BUILT.get(concern, ())
            else "is not known and not installed"
        )
        raise UnknownBackendError(f"{concern} {name!r} {reason}; available: {known}")
    module, _, attribute = target.partition(":")
    return _imported(
        concern, name, lambda: getattr(importlib.import_module(f"polytope_server.{module}"), attribute)
    )


def explain_package(concern: str, name: str, module: str) -> str:
    """What to do about a module that a back-end needs and that is missing here; follows its name."""
    if any(point.name == name for point in plug_ins(concern)):
        return f"needs the Python package {module!r}: install it where its own package is installed"
    return explain_missing(module, EXTRAS.get(name, name))


def _imported(concern: str, name: str, load: Callable[[], Any]) -> Any:
    try:
        return load()
    except ImportError as error:
        raise UnknownBackendError(f"{concern} {name!r} {_explain_import(concern, name, error)}") from error


def _explain_import(concern: str, name: str, error: ImportError) -> str:
    # Without a name a library says itself what it lacks: one of the system, for example.
    module = error.name or name
    if module.partition(".")[0] == "polytope_server":
        return f"does not work with this version of the server: {error}"
    what = explain_package(concern, name, module)
    # A package that is here, but too old, raises an ImportError of another kind; the remedy is the same.
    return what if isinstance(error, ModuleNotFoundError) else f"{what} ({error})"


@cache
def plug_ins(concern: str) -> tuple[EntryPoint, ...]:
    """The back-ends of a concern that other packages add.

    They are looked up once: reading what is installed takes milliseconds, and does not change.
    """
    return tuple(entry_points(group=GROUPS.get(concern, f"polytope_server.{concern}s")))
