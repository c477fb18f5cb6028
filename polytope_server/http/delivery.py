"""An object of staging as the answer to a GET or HEAD: whole, in part, or not again (RFC 9110)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import falcon
import falcon.asgi

from polytope_server.http.ranges import MultipartBody, Part, parse_ranges
from polytope_server.http.shell import no_body
from polytope_server.staging import StagedObject, Staging
from polytope_server.staging.names import request_of


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
    known = req.get_header("if-none-match") or ""
    if etag in known or known.strip() == "*":
        resp.status = falcon.HTTP_304
        return found
    # HEAD knows no ranges (RFC 9110, 14.2).
    parts = None if head else _find_parts(req, found.size, etag)
    wanted = parts or [Part(0, found.size)]
    if admit is not None and not head:
        await admit(sum(part.length for part in wanted))

    _describe_parts(resp, parts, found)
    several = MultipartBody(wanted, found.size, found.content_type) if len(wanted) > 1 else None
    resp.content_type = several.content_type if several else found.content_type
    resp.content_length = several.length if several else wanted[0].length
    resp.set_header(
        "Content-Disposition", f'attachment; filename="{request_of(name)}.{name.rpartition(".")[2]}"'
    )
    # Not without any stream: Falcon would then send a length of 0.
    if head:
        resp.stream = no_body()
        return found

    def read(start: int, length: int) -> AsyncIterator[bytes]:
        return _count_served(staging.read(name, start, length), served)

    to_the_end = any(part.start + part.length == found.size for part in wanted)
    chunks = several.chunks(read) if several else read(*wanted[0])
    resp.stream = _call_at_end(chunks, completed if to_the_end else lambda: None)
    return found


def _describe_parts(resp: falcon.asgi.Response, parts: list[Part] | None, found: StagedObject) -> None:
    """Say which part of the object the answer has; the whole one (None) has a checksum instead."""
    if parts is not None:
        resp.status = falcon.HTTP_206
        if len(parts) == 1:
            resp.set_header("Content-Range", parts[0].content_range(found.size))
    if found.md5 and parts in (None, [Part(0, found.size)]):
        resp.set_header("Content-MD5", found.md5)


def _find_parts(req: falcon.asgi.Request, size: int, etag: str) -> list[Part] | None:
    """The parts that a call asks for, None for the whole; ends the call with 416 if all lie outside."""
    condition = req.get_header("if-range")
    if condition and condition != etag:
        return None
    parts = parse_ranges(req.get_header("range") or "", size)
    if parts == []:
        raise falcon.HTTPError(
            falcon.HTTP_416,
            description="The range lies outside of the result",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return parts


async def _count_served(chunks: AsyncIterator[bytes], served: Callable[[int], None]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
        served(len(chunk))


async def _call_at_end(chunks: AsyncIterator[bytes], completed: Callable[[], object]) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        yield chunk
    completed()
