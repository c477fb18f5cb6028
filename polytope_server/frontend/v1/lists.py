"""Answers with lists of requests: one JSON object, sent page by page; cursors and counts in the headers."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, suppress

import falcon.asgi

from polytope_server.frontend.lists import Listing, Lists
from polytope_server.frontend.refusals import Kind, RefusedError
from polytope_server.http.shell import no_body
from polytope_server.request import Request
from polytope_server.user import User

_OPENING, _END = '{"message": [', "]}"
_CURSOR = re.compile(r"v1:([0-9]{1,18})")
_WRONG_CURSOR = (
    "The value of 'before' is not from this server: expected that of the Link header of another list, or none"
)


async def answer_list(
    lists: Lists,
    req: falcon.asgi.Request,
    resp: falcon.asgi.Response,
    user: User,
    collection: str | None = None,
) -> None:
    """Answer with a user's requests, of that collection if one is given.

    Raises RefusedError for a cursor that is none, and if the user asks for too many lists at the same time.
    """
    before = _read_cursor(req)
    # A list of a collection has the route of a poll.
    req.context.is_poll = False
    with ExitStack() as turn:
        turn.callback(await lists.begin(user))
        listing = await lists.read(user, collection, before, _encode_page)
        _set_headers(resp, listing)
        stream = await _answer_or_stream(resp, listing.pages)
        if stream is not None:
            resp.stream = no_body() if req.scope.get("polytope.head") else stream
            _call_when_gone(resp.stream, turn.pop_all().close)


def _encode_page(requests: Sequence[Request]) -> str:
    return ", ".join(json.dumps(request.to_document()) for request in requests)


def _set_headers(resp: falcon.asgi.Response, listing: Listing) -> None:
    if listing.following is not None:
        # Relative to the address of the list, so that it holds behind every proxy.
        resp.set_header("Link", f'<?before={_make_cursor(listing.following)}>; rel="next"')
    if listing.total is not None:
        resp.set_header("X-Total-Count", str(listing.total))


async def _answer_or_stream(
    resp: falcon.asgi.Response, pages: AsyncIterator[str]
) -> AsyncIterator[bytes] | None:
    """Answer with a list of one page; of a longer one the stream is returned.

    The first pages are read before the head of the answer is sent: 503 if the store cannot be reached.
    """
    first, second = await anext(pages, ""), await anext(pages, "")
    if second:
        return _join_pages([first, second], pages)
    resp.data = f"{_OPENING}{first}{_END}".encode()
    return None


async def _join_pages(begun: list[str], rest: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """The body of a list.

    If reading fails, the body breaks off, and the connection with it: no client can take it for complete.
    """
    yield (_OPENING + ", ".join(begun)).encode()
    async for page in rest:
        yield f", {page}".encode()
    yield _END.encode()


def _call_when_gone(stream: object, do: Callable[[], object]) -> None:
    """Call `do` when the stream is not referenced any more.

    Falcon does not close one that it has not begun to send because the client has gone.
    """
    loop = asyncio.get_running_loop()
    # Objects may be collected in any thread, and after the loop.
    weakref.finalize(stream, _call_in_loop, loop, do).atexit = False


def _call_in_loop(loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> None:
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(do)


def _make_cursor(place: int) -> str:
    return base64.urlsafe_b64encode(b"v1:%d" % place).decode().rstrip("=")


def _read_cursor(req: falcon.asgi.Request) -> int | None:
    """The place that the cursor in the address stands for, if there is one."""
    cursor = req.get_param("before")
    if cursor is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        found = None
    if found is None:
        raise RefusedError(Kind.INVALID, _WRONG_CURSOR)
    return int(found[1])
