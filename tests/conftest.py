"""The real servers, one of each for a test session. One that this machine cannot have skips its tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from polytope_server.testing.services import (
    S3,
    Memcached,
    MongoDB,
    NotInstalledError,
    PostgreSQL,
    RabbitMQ,
    Redis,
    Service,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        *("--config",), metavar="FILE", type=Path, action="append", default=[],
        help="configuration of a deployment that runs already: only the tests for any deployment are run, "
        "against it; several files are merged, as -f of polytope-server does",
    )  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `--config`, leave out what starts servers of its own."""
    if not config.getoption("--config"):
        return
    others = [item for item in items if item.get_closest_marker("deployment") is None]
    items[:] = [item for item in items if item not in others]
    config.hook.pytest_deselected(items=others)


def _served(kind: type[Service], factory: pytest.TempPathFactory) -> Iterator[Service]:
    try:
        service = kind(factory.mktemp("service"))
        service.command()
    except NotInstalledError as error:
        pytest.skip(str(error))
    with service:
        yield service


@pytest.fixture(scope="session")
def mongodb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A replica set of one server."""
    yield from _served(MongoDB, tmp_path_factory)


@pytest.fixture(scope="session")
def rabbitmq(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _served(RabbitMQ, tmp_path_factory)


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _served(Redis, tmp_path_factory)


@pytest.fixture(scope="session")
def memcached(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _served(Memcached, tmp_path_factory)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _served(PostgreSQL, tmp_path_factory)


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    yield from _served(S3, tmp_path_factory)
