"""Prepares the bucket: makes it if it does not exist, and sets rules where that is asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable
from typing import Any

from polytope_server.staging import StagingUnavailableError
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.errors import S3RefusedError
from polytope_server.staging.s3.settings import S3Settings

logger = logging.getLogger(__name__)

#: Codes of S3 for a bucket that another process made at the same moment.
_MADE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
_NOT_ALLOWED = frozenset({"403", "AccessDenied"})
_NO_RULES = "NoSuchLifecycleConfiguration"
_RULE = {
    "ID": "polytope-server-unfinished-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
}


async def prepare(client: S3Client, settings: S3Settings) -> None:
    """Make the bucket usable (idempotent). Raises StagingUnavailableError if it cannot be."""
    made = await _ensure(client, settings)
    if made or settings.should_set_lifecycle:
        await _if_allowed("set a rule for unfinished uploads", _add_rule(client))
    if settings.should_set_policy:
        await _if_allowed("let everybody read results", _publish(client, settings.bucket))


async def _ensure(client: S3Client, settings: S3Settings) -> bool:
    """See that the bucket exists; True if it was made here."""
    try:
        await client.call("head_bucket")
        return False
    except S3RefusedError as error:
        if error.code in _NOT_ALLOWED:
            await _explain(client, settings.bucket)
            return False
        if not error.missing:
            raise
    return await _make(client, settings)


async def _explain(client: S3Client, bucket: str) -> None:
    """Warn of a bucket whose existence one may not ask for. Raises if the credentials are no good at all."""
    try:
        # The answer to HEAD has no body that would say more.
        await client.call("list_objects_v2", MaxKeys=1)
    except S3RefusedError as error:
        if error.code not in _NOT_ALLOWED:
            raise
    logger.warning("asking for the bucket %r is not allowed; it is used as if it existed", bucket)


async def _make(client: S3Client, settings: S3Settings) -> bool:
    parameters: dict[str, Any] = {}
    if not settings.endpoint and client.region != "us-east-1":
        # Only Amazon wants to hear its region once more; other servers have names of their own for theirs.
        parameters["CreateBucketConfiguration"] = {"LocationConstraint": client.region}
    try:
        await client.call("create_bucket", **parameters)
    except S3RefusedError as error:
        if error.code not in _MADE:
            raise StagingUnavailableError(f"{error}; it does not exist: make it, or allow that") from error
        await client.call("head_bucket")
        return False
    return True


async def _if_allowed(what: str, change: Awaitable[None]) -> None:
    try:
        await change
    except S3RefusedError as error:
        logger.warning("cannot %s: %s", what, error)


async def _add_rule(client: S3Client) -> None:
    try:
        # Some servers that know no rules answer as if they were asked for something else.
        rules = (await client.call("get_bucket_lifecycle_configuration")).get("Rules", [])
    except S3RefusedError as error:
        if error.code != _NO_RULES:
            raise
        rules = []
    if _RULE in rules:
        return
    # The rules of others stay: there is one list of them, which is written whole.
    others = [rule for rule in rules if rule.get("ID") != _RULE["ID"]]
    await client.call(
        "put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [*others, _RULE]}
    )


async def _publish(client: S3Client, bucket: str) -> None:
    statement = {
        "Sid": "PolytopeServerResults",
        "Effect": "Allow",
        "Principal": {"AWS": ["*"]},
        "Action": ["s3:GetObject"],
        "Resource": [f"arn:aws:s3:::{bucket}/*"],
    }
    await client.call(
        "put_bucket_policy", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    )
