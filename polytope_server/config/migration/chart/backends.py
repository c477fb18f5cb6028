"""The back-ends of a configuration as the chart's values name them, and the rest of the configuration."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

from polytope_server.config.loading import Configuration
from polytope_server.config.migration.chart.values import Values
from polytope_server.config.migration.chart.variables import Variables
from polytope_server.config.migration.trees import with_value, without
from polytope_server.settings import backends
from polytope_server.settings.nodes import Node

_LOGIN = re.compile(r"(?P<scheme>mongodb(?:\+srv)?://)(?:(?P<name>[^/@:]*)(?::(?P<password>[^/@]*))?@)?")
_MONGODB = ("uri", "host", "port", "username", "password")
#: Names of a section's back-end that earlier servers had, and the present ones.
_NAMES = {"s3_boto3": "s3", "globalvar": "memory"}


class Backends:
    """Moves what the chart has values for from a configuration to these values."""

    def __init__(
        self, root: Node, configuration: Configuration, values: Values, variables: Variables
    ) -> None:
        self.root = root
        self._settings = configuration.settings
        self._values = values
        self._variables = variables
        self._mongodb: tuple[str, str | None, str | None] | None = None

    def move(self) -> None:
        """Move all back-ends. Those for which there is no value stay in the configuration."""
        # Realm and keys stay those of the configuration, not the chart's own.
        self._values.entries["backends"] = {"users": False}
        self._move_store()
        self._move_queue()
        self._move_staging()
        self._move_cache()
        # The chart makes a key of its own.
        self._drop("secrets")

    def _move_store(self) -> None:
        kind, keys = self._chosen("request_store")
        if kind == "mongodb":
            settings = self._effective("request_store", kind, keys)
            self._mongodb = _server(settings)
            uri, name, password = self._mongodb
            self._set("mongodb.uri", uri)
            self._set("mongodb.collection", settings.collection)
            self._add_logins(MONGODB_USERNAME=name, MONGODB_PASSWORD=password)
            self._values.entries["backends"]["mongodb"]["authentication"] = bool(name)
            self._drop("request_store")
            self._drop_same_server("metric_store")
        elif kind == "sql" and keys.get("url"):
            self._set("store", "postgresql")
            self._add_logins(POSTGRESQL_URL=keys["url"])
            self._drop("request_store")
            if self._chosen("metric_store") == (kind, keys):
                self._drop("metric_store")
        else:
            self._lack(
                "mongodb.uri", "Requests are kept in MongoDB or PostgreSQL: set up a server, and name it."
            )

    def _move_queue(self) -> None:
        kind, keys = self._chosen("queue")
        if kind != "rabbitmq":
            self._lack("rabbitmq.host", "Set up a RabbitMQ, and name it.")
            return
        settings = self._effective("queue", kind, keys)
        self._set("rabbitmq.host", settings.host)
        self._set("rabbitmq.port", settings.port)
        self._set("rabbitmq.virtualHost", settings.virtual_host)
        self._set("rabbitmq.name", settings.name)
        self._set("rabbitmq.tls", settings.tls or None)
        # Not the defaults of the server: what is not in the old file, a person must say.
        self._add_logins(RABBITMQ_USERNAME=keys.get("user"), RABBITMQ_PASSWORD=keys.get("password"))
        self._drop_keys("queue", ("host", "port", "virtual_host", "name", "tls", "user", "password"))

    def _move_staging(self) -> None:
        kind, keys = self._chosen("staging")
        if kind == "polytope":
            self._set("staging", "objectStore")
            self._values.set("objectStore.quota", keys.get("quota"))
            self._values.remark(
                "objectStore",
                "Say how large the volume of the results is (`persistence.size`). Results of the earlier "
                "server are not taken over.",
            )
            self._drop("staging")
        elif kind == "s3":
            self._move_s3(self._effective("staging", kind, keys))
        else:
            self._lack("s3.host", "Results are on S3, or in the chart's object store: name a server, or set "
                       "`staging: objectStore`.")  # fmt: skip

    def _move_s3(self, settings: Any) -> None:
        moved = ["host", "port", "bucket", "access_key", "secret_key", "region"]
        scheme = "https" if settings.use_ssl else "http"
        host = settings.host
        self._set("s3.host", host if not host or "://" in host else f"{scheme}://{host}")
        self._set("s3.port", settings.port if host else None)
        self._set("s3.bucket", settings.bucket)
        self._set("s3.region", settings.region)
        self._values.entries["backends"]["s3"]["authentication"] = bool(settings.access_key)
        if settings.access_key:
            self._add_logins(S3_ACCESS_KEY=settings.access_key, S3_SECRET_KEY=settings.secret_key)
        if settings.url and settings.use_presigned_url:
            self._set("s3.publicUrl", settings.url)
            moved += ["url", "use_presigned_url"]
        self._drop_keys("staging", moved)

    def _move_cache(self) -> None:
        kind, keys = self._chosen("caching")
        if kind == "redis":
            settings = self._effective("caching", kind, keys)
            self._set("cache", "redis")
            self._set("redis.host", settings.host)
            self._set("redis.port", settings.port)
            self._set("redis.tls", settings.ssl or None)
            self._values.entries["backends"]["redis"]["authentication"] = bool(settings.password)
            if settings.password:
                self._add_logins(REDIS_PASSWORD=settings.password)
            self._drop_keys("caching", ("host", "port", "ssl", "password"))
        elif kind == "memcached":
            settings = self._effective("caching", kind, keys)
            self._set("cache", "memcached")
            self._set("memcached.host", settings.host)
            self._set("memcached.port", settings.port)
            self._drop_keys("caching", ("host", "port"))
        elif self._mongodb is not None:
            self._set("cache", "mongodb")
            self._drop_same_server("caching")
            if kind == "memory":
                self._drop("caching")
                text = "Frontends share the cache in MongoDB: with one in its memory each would count alone."
                self._values.remark("backends", f"cache: {text}", decide=False)
        else:
            self._lack("cache", "Name a cache that all frontends share.")

    # -- what all have in common ----------------------------------------------------------------------

    def _chosen(self, section: str) -> tuple[str, Mapping[str, Any]]:
        """Name (the present one) and keys of the back-end of a section; an empty name if there is none."""
        chosen = {name: keys or {} for name, keys in getattr(self._settings, section).items()}
        name = next(iter(chosen), "")
        return _NAMES.get(name, name), chosen.get(name, {})

    def _effective(self, concern: str, kind: str, keys: Mapping[str, Any]) -> Any:
        return backends.load(concern, kind).Settings.model_validate(keys)

    def _set(self, path: str, value: Any) -> None:
        self._values.set(f"backends.{path}", value)

    def _lack(self, key: str, text: str) -> None:
        self._values.remark("backends", f"{key}: {text}")

    def _add_logins(self, **logins: str | None) -> None:
        for name, value in logins.items():
            if value is not None or not name.startswith("MONGODB"):
                self._variables.add_login(name, value)

    def _drop(self, section: str) -> None:
        self.root = self.root.without((section,))

    def _drop_keys(self, section: str, keys: Iterable[str]) -> None:
        """Those of its back-end. What is left of that stands under its present name."""
        for name, _ in (self.root.child(section) or Node({})).children():
            for key in keys:
                self.root = without(self.root, (section, name, key))
        left = (self.root.child(section) or Node({})).given()
        for name, node in left.children():
            if name in _NAMES:
                self.root = with_value(self.root.without((section,)), (section, _NAMES[name]), node)
        if not left.value:
            self._drop(section)

    def _drop_same_server(self, section: str) -> None:
        """What says again where the server of the requests is. Another one stays where it is."""
        kind, keys = self._chosen(section)
        if kind == "mongodb" and _server(self._effective(section, kind, keys)) == self._mongodb:
            self._drop_keys(section, _MONGODB)


def _server(settings: Any) -> tuple[str, str | None, str | None]:
    """Address, name and password of a MongoDB, whether these stand in the address or beside it."""
    found = _LOGIN.match(settings.uri)
    if found is None:
        return settings.uri, settings.username, settings.password
    name, password = (unquote(text) if text else None for text in (found["name"], found["password"]))
    address = found["scheme"] + settings.uri[found.end() :]
    return address, settings.username or name, settings.password or password
