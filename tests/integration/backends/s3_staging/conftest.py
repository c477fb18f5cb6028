"""An S3 server's client, buckets, and stagings in them."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from s3_buckets import BUCKET, empty, settings_of

from polytope_server.staging import Staging
from polytope_server.staging.s3 import S3Staging
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.clients import make_clients
from testbed.services import S3, S3Server


@pytest.fixture
def server(s3: S3) -> S3Server:
    return s3


@pytest.fixture(scope="package", autouse=True)
def clients_are_made_once() -> Iterator[None]:
    """To make them for each test would take most of the time. Once closed, they connect again."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("polytope_server.staging.s3.client.make_clients", cache(make_clients))
        patch.setattr(S3Server, "client", cache(S3Server.client))
        yield


@pytest.fixture
def client(server: S3Server) -> Iterator[Any]:
    client = server.client()
    if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=BUCKET)
    yield client
    empty(client, BUCKET)


@pytest.fixture
def bucket(client: Any) -> Iterator[str]:
    """The name of a bucket that does not exist."""
    name = f"made-{uuid4().hex[:12]}"
    yield name
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        empty(client, name)
        # In rclone's folder something may be left that it does not list.
        with contextlib.suppress(ClientError):
            client.delete_bucket(Bucket=name)


@pytest.fixture
async def make(server: S3Server, client: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Makes and opens stagings with given keys, and with a client of the given kind."""
    made: list[Staging] = []

    async def open_one(kind: type[S3Client] = S3Client, **keys: Any) -> Staging:
        settings = settings_of(server, **keys)
        staging = S3Staging(settings, tmp_path, client=kind(settings))
        made.append(staging)
        await staging.open()
        return staging

    yield open_one
    for staging in made:
        await staging.close()
