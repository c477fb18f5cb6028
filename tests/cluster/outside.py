"""Servers of this machine, as the cluster reaches them: back-ends of the chart that are there already.

`POLYTOPE_TEST_HOST` is the address at which pods reach what listens on 127.0.0.1 here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from testbed.services import programs
from testbed.services.caches import Memcached, Redis
from testbed.services.mongodb import MongoDB
from testbed.services.postgresql import PostgreSQL
from testbed.services.rabbitmq import RabbitMQ
from testbed.services.s3 import S3


@dataclass
class Servers:
    """Servers that run, as values of the chart."""

    backends: dict[str, Any]
    #: The ports of each, all of the same host.
    ports: dict[str, int]
    #: Variables of the Secret.
    logins: dict[str, str]
    host: str
    #: Where this machine reaches the S3, if there is one.
    s3: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """Values with which the chart uses these servers, and reaches no others."""
        to = [{"ipBlock": {"cidr": f"{self.host}/32"}}]
        reach = {name: {"to": to, "ports": [port]} for name, port in self.ports.items()}
        return {"backends": self.backends, "networkPolicy": {"backends": reach}}


@contextmanager
def servers(kind: str, folder: Path) -> Iterator[Servers]:
    """`mongodb` with S3 and Redis, or `postgresql` with Memcached, for the length of a block.

    Skips the test where the cluster does not reach this machine, or a program cannot be had.
    """
    host = os.environ.get("POLYTOPE_TEST_HOST")
    if not host:
        pytest.skip(
            "cannot be had: POLYTOPE_TEST_HOST, the address at which pods reach 127.0.0.1 of this machine"
        )
    with ExitStack() as stack:
        try:
            found = (_mongodb if kind == "mongodb" else _postgresql)(host, folder, stack)
            rabbitmq = stack.enter_context(RabbitMQ(folder))
        except programs.NotInstalledError as error:
            pytest.skip(str(error))
        found.ports["rabbitmq"] = rabbitmq.port
        found.backends["rabbitmq"] = {"host": host, "port": rabbitmq.port}
        found.logins |= rabbitmq.variables | {"POLYTOPE_KEY": "a key of the tests, long enough to be one"}
        yield found


def _mongodb(host: str, folder: Path, stack: ExitStack) -> Servers:
    mongodb = stack.enter_context(MongoDB(folder, auth=True))
    s3, redis = stack.enter_context(S3(folder)), stack.enter_context(Redis(folder))
    uri = f"mongodb://{host}:{mongodb.port}/?directConnection=true"
    return Servers(
        {
            "mongodb": {"uri": uri, "database": "weather", "collection": "weather"},
            "s3": {"host": f"http://{host}", "port": s3.port},
            "redis": {"host": host, "port": redis.port},
        },
        {"mongodb": mongodb.port, "s3": s3.port, "redis": redis.port},
        mongodb.variables | s3.variables | redis.variables,
        host,
        f"{s3.host}:{s3.port}",
    )


def _postgresql(host: str, folder: Path, stack: ExitStack) -> Servers:
    postgresql = stack.enter_context(PostgreSQL(folder))
    memcached = stack.enter_context(Memcached(folder))
    url = postgresql.url.replace(f"@{postgresql.host}:", f"@{host}:")
    return Servers(
        {
            "store": "postgresql",
            "staging": "objectStore",
            "cache": "memcached",
            "memcached": {"host": host, "port": memcached.port},
        },
        {"postgresql": postgresql.port, "memcached": memcached.port},
        {"POSTGRESQL_URL": url, "OBJECT_STORE_TOKEN": "a-token-of-the-tests"},
        host,
    )
