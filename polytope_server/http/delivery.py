"""An object of staging as the answer to a GET or HEAD: whole, in part, or not again (RFC 9110)."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable

import falcon
import falcon.asgi

from polytope_server.http.shell import no_body
from polytope_server.staging import StagedObject, Staging
from polytope_server.staging.names import request_of

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


async def deliver(
    staging: Staging,
    name: str,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    head: bool,
    served: Callable[[int], None],
    admit: Callable[[int], Awaitable[None]] | None = None,
    completed: Callable[[], object] = lambda: None,
) -> StagedObject:
    """Answer with the object of that name, without its bytes if `head`; returns what is known of it.

    `served` is called with the bytes that were sent, as they are. `admit` is called before with how many it
    will be, and may end the call. `completed` is called when the last byte of the object was sent,
    alone or with others.
    Raises ObjectNotFoundError, and ends the call with 416 for a range that lies outside of the object.
    """
    found = await staging.stat(name)
    etag = f'"{found.etag or f"{found.size:x}-{int(found.modified * 1e6):x}"}"'
    resp.set_header("ETag", etag)
    resp.set_header("Accept-Ranges", "bytes")
    if _is_known(req, etag):
        resp.status = falcon.HTTP_304
        return found
    if head:
        # HEAD knows no ranges (RFC 9110, 14.2).
        _describe_object(resp, found, found.size)
        # Not without any stream: Falcon would then send a length of 0.
        resp.stream = no_body()
        return found
    part = _requested_range(req, found.size, etag)
    start, length = part or (0, found.size)
    if admit is not None:
        await admit(length)
    if part is not None:
        resp.status = falcon.HTTP_206
        resp.set_header("Content-Range", f"bytes {start}-{start + length - 1}/{found.size}")
    _describe_object(resp, found, length)
    to_the_end = start + length == found.size
    chunks = staging.read(name, start, length)
    resp.stream = _count_served(chunks, served, completed if to_the_end else lambda: None)
    return found


def _is_known(req: falcon.asgi.Request, etag: str) -> bool:
    """Whether the client has this version of the object already."""
    known = req.get_header("if-none-match") or ""
    return etag in known or known.strip() == "*"


def _describe_object(resp: falcon.asgi.Response, found: StagedObject, length: int) -> None:
    """The headers for an answer with `length` bytes of the object."""
    resp.content_type = found.content_type
    resp.content_length = length
    file = f"{request_of(found.name)}.{found.name.rpartition('.')[2]}"
    resp.set_header("Content-Disposition", f'attachment; filename="{file}"')
    if found.md5 and length == found.size:
        resp.set_header("Content-MD5", found.md5)


def _requested_range(req: falcon.asgi.Request, size: int, etag: str) -> tuple[int, int] | None:
    """The first byte of a single Range and how many it has, None for the whole; 416 if it lies outside."""
    wanted = _RANGE.fullmatch(req.get_header("range") or "")
    condition = req.get_header("if-range")
    if not wanted or wanted[0] == "bytes=-" or (condition and condition != etag):
        return None
    if wanted[1]:
        start = int(wanted[1])
        end = min(int(wanted[2]), size - 1) if wanted[2] else size - 1
    else:
        start, end = max(0, size - int(wanted[2])), size - 1
    if wanted[1] and wanted[2] and int(wanted[2]) < start:
        return None  # no valid range: to be ignored
    if start > end:
        raise falcon.HTTPError(
            falcon.HTTP_416,
            description="The range lies outside of the result",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return start, end - start + 1


async def _count_served(
    chunks: AsyncIterator[bytes], served: Callable[[int], None], completed: Callable[[], object]
) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        served(len(chunk))
    completed()
