"""Buckets on an S3 server for tests."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import requests
from botocore.exceptions import ClientError

from polytope_server.staging.s3.settings import S3Settings
from polytope_server.testing.staging import chunked
from testbed.services import S3Server

BUCKET = "staging-tests"
MIB = 1 << 20


def settings_of(server: S3Server, **keys: Any) -> S3Settings:
    account = {"access_key": server.access_key, "secret_key": server.secret_key}
    return S3Settings(**({"host": server.host, "port": server.port, "bucket": BUCKET} | account | keys))


def in_chunks(data: bytes, size: int = 300_007) -> AsyncIterator[bytes]:
    return chunked(data[start : start + size] for start in range(0, len(data), size))


async def get(address: str | None) -> requests.Response:
    return await asyncio.to_thread(requests.get, address, timeout=20)


def empty(client: Any, bucket: str) -> None:
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for entry in page.get("Contents", []):
            client.delete_object(Bucket=bucket, Key=entry["Key"])
    for upload in uploads(client, bucket):
        client.abort_multipart_upload(Bucket=bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def uploads(client: Any, bucket: str = BUCKET) -> list[dict[str, Any]]:
    """Those that are not finished; none where the server does not list them."""
    try:
        return client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("NoSuchUpload", "NotImplemented"):
            raise
        return []


def keys(client: Any, bucket: str = BUCKET) -> set[str]:
    return {entry["Key"] for entry in client.list_objects_v2(Bucket=bucket).get("Contents", [])}
