"""Servers that the earlier chart ran: they end with its release, and others take their place."""

from __future__ import annotations

from collections.abc import Iterator

from polytope_server.config.migration.chart.values import Values
from polytope_server.config.migration.trees import leaves
from polytope_server.settings.nodes import Node
from polytope_server.settings.problems import dotted

#: By the name of their section: what they are called, and the log-in of one that takes their place.
_SERVERS = {
    "mongodb": ("MongoDB", "MONGODB_USERNAME and MONGODB_PASSWORD with `mongodb.authentication: true`"),
    "rabbitmq": ("RabbitMQ", "RABBITMQ_USERNAME and RABBITMQ_PASSWORD"),
    "redis": ("Redis", "REDIS_PASSWORD with `redis.authentication: true`"),
    "minio": ("MinIO", "S3_ACCESS_KEY and S3_SECRET_KEY"),
    "seaweedfs": ("SeaweedFS", "S3_ACCESS_KEY and S3_SECRET_KEY"),
}
_ENDS = (
    "What the earlier chart ran ends with its release ({names}): name servers of your own, and write their "
    "log-ins into the Secret ({logins})."
)
_REPEATED = (
    "An address of MongoDB stands in `config`, too ({places}): change it there as well, and write `username: "
    "$MONGODB_USERNAME` and `password: $MONGODB_PASSWORD` beside it if that server asks for a log-in."
)


def remark_on_servers(earlier: Node, config: Node, values: Values) -> None:
    """Say which servers end, and where else than in `backends` the address of one stands."""
    ran = [_SERVERS[name] for name in _SERVERS if _is_on(earlier.child(name, "enabled"))]
    if ran:
        names, logins = (", ".join(dict.fromkeys(texts)) for texts in zip(*ran, strict=True))
        values.remark("backends", _ENDS.format(names=names, logins=logins))
    places = ", ".join(_find_addresses(config))
    if places:
        values.remark("backends", _REPEATED.format(places=places))


def _is_on(enabled: Node | None) -> bool:
    return enabled is not None and enabled.value is True


def _find_addresses(config: Node) -> Iterator[str]:
    for path, leaf in leaves(config):
        if isinstance(leaf.value, str) and leaf.value.startswith(("mongodb://", "mongodb+srv://")):
            yield dotted(path)
