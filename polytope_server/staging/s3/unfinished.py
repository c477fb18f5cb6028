"""Uploads in parts that were begun and never completed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from polytope_server.staging.names import is_object_name
from polytope_server.staging.s3.client import S3Client
from polytope_server.staging.s3.errors import S3RefusedError
from polytope_server.staging.s3.objects import NO_UPLOAD, abort, checksum_name


async def remove_unfinished(client: S3Client, before: float) -> int:
    """Remove those to which nothing was written since that time; how many there were.

    Not all servers list uploads or their parts. What one does not know is warned of once.
    """
    count = 0
    async for upload in _unfinished(client):
        key, upload_id = upload["Key"], upload["UploadId"]
        if upload["Initiated"].timestamp() >= before or not is_object_name(key):
            continue
        # Begun long ago, but it may still go on.
        if await _goes_on(client, key, upload_id, before) is False:
            count += await abort(client, key, upload_id)
            await client.call("delete_object", Key=checksum_name(key))
    return count


async def _unfinished(client: S3Client) -> AsyncIterator[dict[str, Any]]:
    more: dict[str, str] = {}
    while True:
        try:
            answer = await client.call("list_multipart_uploads", **more)
        except S3RefusedError as error:
            if error.lacking:
                client.warn_once("unfinished uploads cannot be listed, and their parts stay", error)
            elif error.code != NO_UPLOAD:  # so says rclone where there are none
                raise
            return
        for upload in answer.get("Uploads", []):
            yield upload
        if not answer.get("IsTruncated"):
            return
        more = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}


async def _goes_on(client: S3Client, name: str, upload_id: str, since: float) -> bool | None:
    """Whether a part of an unfinished object came since that time; None if that cannot be seen."""
    try:
        sent = await _last_part(client, name, upload_id)
    except S3RefusedError as error:
        if not error.lacking:
            raise
        client.warn_once("the parts of old uploads cannot be seen, and they stay", error)
        return None
    return sent is not None and sent >= since


async def _last_part(client: S3Client, name: str, upload_id: str) -> float | None:
    """When the last part of an unfinished object came, in seconds since the epoch; None if there is none."""
    last: float | None = None
    more: dict[str, int] = {}
    while True:
        try:
            answer = await client.call("list_parts", Key=name, UploadId=upload_id, **more)
        except S3RefusedError as error:
            if error.code != NO_UPLOAD:
                raise
            return last
        times = [part["LastModified"].timestamp() for part in answer.get("Parts", [])]
        last = max([*times, *([] if last is None else [last])], default=None)
        if not answer.get("IsTruncated"):
            return last
        more = {"PartNumberMarker": answer["NextPartNumberMarker"]}
