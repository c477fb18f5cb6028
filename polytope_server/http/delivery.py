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
    if _is_known(req, etag):
        resp.status = falcon.HTTP_304
        return found
    if head:
        # HEAD knows no ranges (RFC 9110, 14.2).
        _describe_object(resp, found, None)
        # Not without any stream: Falcon would then send a length of 0.
        resp.stream = no_body()
        return found
    parts = _find_parts(req, found.size, etag)
    wanted = parts or [Part(0, found.size)]
    if admit is not None:
        await admit(sum(part.length for part in wanted))

    def read(start: int, length: int) -> AsyncIterator[bytes]:
        return _count_served(staging.read(name, start, length), served)

    several = _describe_object(resp, found, parts)
    chunks = several.chunks(read) if several else read(*wanted[0])
    to_the_end = any(part.start + part.length == found.size for part in wanted)
    resp.stream = _call_at_end(chunks, completed if to_the_end else lambda: None)
    return found


def _is_known(req: falcon.asgi.Request, etag: str) -> bool:
    """Whether the client has this version of the object already."""
    known = req.get_header("if-none-match") or ""
    return etag in known or known.strip() == "*"


def _describe_object(
    resp: falcon.asgi.Response, found: StagedObject, parts: list[Part] | None
) -> MultipartBody | None:
    """The headers for an answer with these parts of the object, or with all of it (None).

    Returns what makes the body of several parts, None for one.
    """
    whole = Part(0, found.size)
    several = MultipartBody(parts, found.size, found.content_type) if parts and len(parts) > 1 else None
    resp.content_type = several.content_type if several else found.content_type
    resp.content_length = several.length if several else (parts or [whole])[0].length
    if parts:
        resp.status = falcon.HTTP_206
    if parts and several is None:
        resp.set_header("Content-Range", parts[0].content_range(found.size))
    file = f"{request_of(found.name)}.{found.name.rpartition('.')[2]}"
    resp.set_header("Content-Disposition", f'attachment; filename="{file}"')
    if found.md5 and parts in (None, [whole]):
        resp.set_header("Content-MD5", found.md5)
    return several


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
