"""An S3 server's client, buckets, and stagings in them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from s3_buckets import BUCKET, empty, settings_of

from polytope_server.staging import (
    Staging,
)
from polytope_server.staging.s3 import S3Staging
from polytope_server.staging.s3.client import S3Client
from testbed.services import S3


@pytest.fixture
def client(s3: S3) -> Iterator[Any]:
    client = s3.client()
    if BUCKET not in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        client.create_bucket(Bucket=BUCKET)
    yield client
    empty(client, BUCKET)
    client.close()


@pytest.fixture
def bucket(client: Any) -> Iterator[str]:
    """The name of a bucket that does not exist."""
    name = f"made-{uuid4().hex[:12]}"
    yield name
    if name in {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}:
        empty(client, name)
        client.delete_bucket(Bucket=name)


@pytest.fixture
async def make(s3: S3, client: Any, tmp_path: Path) -> AsyncIterator[Any]:
    """Makes and opens stagings with given keys, and with a client of the given kind."""
    made: list[Staging] = []

    async def open_one(kind: type[S3Client] = S3Client, **keys: Any) -> Staging:
        settings = settings_of(s3, **keys)
        staging = S3Staging(settings, tmp_path, client=kind(settings))
        made.append(staging)
        await staging.open()
        return staging

    yield open_one
    for staging in made:
        await staging.close()
