"""The chart on servers outside of the cluster, as for production: those of the tests, on this machine.

`POLYTOPE_TEST_HOST` is the address at which pods reach what listens on this machine's 127.0.0.1.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
import yaml
from kubectl import until
from releases import Release
from test_release import left, retrieve

from polytope_server.testing.services import programs
from polytope_server.testing.services.caches import Memcached, Redis
from polytope_server.testing.services.mongodb import MongoDB
from polytope_server.testing.services.postgresql import PostgreSQL
from polytope_server.testing.services.rabbitmq import RabbitMQ
from polytope_server.testing.services.s3 import S3

#: Not of the chart: it must still be there when the release is not.
SECRET = "logins"
NODE_PORT = 30083


class Outside(Release):
    """A release on servers outside of the cluster."""

    #: Where this machine reaches their S3, if they have one.
    s3 = ""


def mongodb_and_s3(host: str, folder: Path, stack: ExitStack) -> tuple[dict[str, Any], dict[str, str], str]:
    """Back-ends of the chart, logins, and where this machine reaches S3."""
    mongodb = stack.enter_context(MongoDB(folder, auth=True))
    rabbitmq, s3 = stack.enter_context(RabbitMQ(folder)), stack.enter_context(S3(folder))
    redis = stack.enter_context(Redis(folder))
    backends = {
        "mongodb": {
            "uri": f"mongodb://{host}:{mongodb.port}/?directConnection=true",
            "database": "weather",
            "collection": "weather",
        },
        "rabbitmq": {"host": host, "port": rabbitmq.port},
        "s3": {"host": f"http://{host}", "port": s3.port},
        "redis": {"host": host, "port": redis.port},
    }
    logins = mongodb.variables | rabbitmq.variables | s3.variables | redis.variables
    return backends, logins, f"{s3.host}:{s3.port}"


def postgresql_and_object_store(
    host: str, folder: Path, stack: ExitStack
) -> tuple[dict[str, Any], dict[str, str], str]:
    """The same without S3."""
    postgresql, rabbitmq, memcached = (
        stack.enter_context(kind(folder)) for kind in (PostgreSQL, RabbitMQ, Memcached)
    )
    backends = {
        "store": "postgresql",
        "staging": "objectStore",
        "cache": "memcached",
        "rabbitmq": {"host": host, "port": rabbitmq.port},
        "memcached": {"host": host, "port": memcached.port},
    }
    url = urlsplit(postgresql.url)
    url = url._replace(netloc=url.netloc.replace(postgresql.host, host))
    logins = rabbitmq.variables | {
        "POSTGRESQL_URL": url.geturl(),
        "OBJECT_STORE_TOKEN": "a-token-of-the-tests",
    }
    return backends, logins, ""


@pytest.fixture(scope="module", params=[mongodb_and_s3, postgresql_and_object_store])
def release(
    request: pytest.FixtureRequest, registry: str, tag: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outside]:
    """A release that is not installed yet, and servers that run. Its logins are in a Secret of its own."""
    host = os.environ.get("POLYTOPE_TEST_HOST")
    if not host:
        pytest.skip("set POLYTOPE_TEST_HOST to the address at which pods reach 127.0.0.1 of this machine")
    folder = tmp_path_factory.mktemp("outside")
    with ExitStack() as stack:
        try:
            backends, logins, s3 = request.param(host, folder, stack)
        except programs.NotInstalledError as error:
            pytest.skip(f"cannot be had: {error}")
        logins |= {"POLYTOPE_KEY": "a key of the tests, long enough to be one"}
        servers = {"mongodb", "rabbitmq", "s3", "redis", "memcached"} & backends.keys()
        reach = {name: {"to": [{"ipBlock": {"cidr": f"{host}/32"}}]} for name in servers}
        if "POSTGRESQL_URL" in logins:
            reach["postgresql"] = {
                "to": [{"ipBlock": {"cidr": f"{host}/32"}}],
                "ports": [urlsplit(logins["POSTGRESQL_URL"]).port],
            }
        values = folder / "values.yaml"
        values.write_text(
            yaml.safe_dump(
                {
                    "backends": backends,
                    "networkPolicy": {"backends": reach},
                    "secrets": {"existing": [SECRET], "generated": []},
                    "frontend": {"service": {"type": "NodePort", "nodePort": NODE_PORT}},
                    "objectStore": {"persistence": {"size": "1Gi"}},
                }
            )
        )
        release = Outside("outside", values, registry, tag, folder)
        release.s3 = s3
        release.namespace.create()
        given = [f"--from-literal={name}={value}" for name, value in logins.items()]
        release.namespace.kubectl("create", "secret", "generic", SECRET, *given)
        yield release
        release.namespace.delete()


def test_it_installs(release: Outside) -> None:
    print(f"helm install to ready: {release.install():.0f} s")
    release.reach(NODE_PORT)


def test_helm_test_submits_and_downloads(release: Outside) -> None:
    assert "Phase:          Succeeded" in release.namespace.helm("test", release.name, "--timeout", "5m")


def test_the_published_client_retrieves_from_outside(release: Outside, tmp_path: Path) -> None:
    retrieve(release, tmp_path)
    assert "/downloads/" in link(release)


def test_results_come_from_s3_if_clients_reach_it(release: Outside, tmp_path: Path) -> None:
    if not release.s3:
        pytest.skip("the object store of the chart is in the cluster")
    release.upgrade(f"backends.s3.publicUrl={release.s3}")
    retrieve(release, tmp_path)
    assert link(release).startswith(release.s3)


def test_uninstalling_leaves_only_what_was_there(release: Outside) -> None:
    release.namespace.helm("uninstall", release.name, "--wait", "--timeout", "5m")
    until(lambda: left(release) == [f"secret/{SECRET}"], what="a namespace with its Secret only")


def link(release: Outside) -> str:
    """Where a result is, as the server says."""
    session = requests.Session()
    session.auth, api = release.user, f"{release.url}/api/v1/requests"
    body = {"verb": "retrieve", "request": "what is asked for"}
    submitted = session.post(f"{api}/echo", json=body, timeout=60, allow_redirects=False)
    polled = f"{api}/{submitted.headers['Location'].rpartition('/')[2]}"
    until(lambda: session.get(polled, timeout=60, allow_redirects=False).status_code == 303)
    return session.get(polled, timeout=60, allow_redirects=False).headers["Location"]
