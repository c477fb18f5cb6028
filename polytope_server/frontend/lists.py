"""The lists of a user's requests: read, encoded and sent page by page (REST v1, 3.4).

However many requests a user has, a list holds two pages of them in memory, and the event loop for no longer
than a page takes. What is longer than a page takes turns with other long work.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext, suppress
from dataclasses import replace
from weakref import WeakValueDictionary

import falcon
import falcon.asgi

from polytope_server.frontend.background import BackgroundWork
from polytope_server.frontend.limits import refuse_for_now
from polytope_server.http.shell import no_body, refuse
from polytope_server.request import LIVE, TERMINAL
from polytope_server.request_store import RequestStore, Selection
from polytope_server.user import User

#: Lists of one user that one process sends at a time.
AT_ONCE = 4
#: Seconds that a further list waits for its turn, and the Retry-After when it is refused.
_WAIT, _RETRY_SECONDS = 10.0, 5
_OPENING, _END = '{"message": [', "]}"
#: Requests are counted up to this number.
_COUNTED = 1_000_000
_CURSOR = re.compile(r"v1:([0-9]{1,18})")
_WRONG_CURSOR = (
    "The value of 'before' is not from this server: expected that of the Link header of another list, or none"
)


class Lists:
    """Answers calls for lists."""

    def __init__(self, store: RequestStore, background: BackgroundWork, ended: int) -> None:
        """`ended` is how many requests that have ended a list shows."""
        self._store = store
        self._background = background
        self._ended = ended
        #: Seconds that a list waits for its turn.
        self.wait = _WAIT
        self._sending: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def answer(
        self, req: falcon.asgi.Request, resp: falcon.asgi.Response, user: User, collection: str | None = None
    ) -> None:
        """Answer with a user's requests, of that collection if one is given.

        Those that have not ended, and the newest that have: of the rest the headers tell. Ends the call with
        400 for a cursor that is none, 429 if the user asks for too many lists at the same time.
        """
        before = _place(req)
        sending = await self._turn(req, user)
        with ExitStack() as turn:
            turn.callback(sending.release)
            parts = await self._parts(resp, user, collection, before)
            stream = await self._begin(resp, parts)
            if stream is not None:
                resp.stream = no_body() if req.scope.get("polytope.head") else stream
                _when_gone(resp.stream, turn.pop_all().close)

    async def _turn(self, req: falcon.asgi.Request, user: User) -> asyncio.Semaphore:
        sending = self._sending.setdefault(user.id, asyncio.Semaphore(AT_ONCE))
        try:
            async with asyncio.timeout(self.wait):
                await sending.acquire()
        except TimeoutError:
            message = f"You are being sent {AT_ONCE} lists of requests already"
            refuse_for_now(req, message, _RETRY_SECONDS, is_poll=False)
        return sending

    async def _parts(
        self, resp: falcon.asgi.Response, user: User, collection: str | None, before: int | None
    ) -> list[Selection]:
        """The selections that the list is made of; sets the headers."""
        ended = Selection(user.id, TERMINAL, collection, until=before)
        cut = await self._store.place(ended, self._ended)
        if cut is not None:
            # Relative to the address of the list, so that it holds behind every proxy.
            resp.set_header("Link", f'<?before={_cursor(cut)}>; rel="next"')
        if before is not None:
            return [replace(ended, after=cut or 0)]
        total = await self._store.count(user_id=user.id, collection=collection, limit=_COUNTED)
        resp.set_header("X-Total-Count", str(total))
        newer = Selection(user.id, collection=collection, after=cut or 0)
        return [newer] if cut is None else [Selection(user.id, LIVE, collection, until=cut), newer]

    async def _begin(self, resp: falcon.asgi.Response, parts: list[Selection]) -> AsyncIterator[bytes] | None:
        """Answer with a list of one page; of a longer one the stream is returned.

        The first pages are read before the head of the answer is sent: 503 if the store cannot be reached.
        """
        pages = self._pages(parts)
        first, second = await anext(pages, ""), await anext(pages, "")
        if second:
            return _joined([first, second], pages)
        resp.data = f"{_OPENING}{first}{_END}".encode()
        return None

    async def _pages(self, parts: list[Selection]) -> AsyncIterator[str]:
        """The items of the list as JSON, page by page. All but the first take turns with other long work."""
        turn: AbstractAsyncContextManager[None] = nullcontext()
        for part in parts:
            after: int | None = part.after
            while after is not None:
                async with turn:
                    requests, after = await self._store.page(replace(part, after=after))
                    page = ", ".join(json.dumps(request.to_document()) for request in requests)
                if page:
                    yield page
                turn = self._background.step(part.user_id)


async def _joined(begun: list[str], rest: AsyncIterator[str]) -> AsyncIterator[bytes]:
    """The body of a list.

    Should reading fail, the body ends without its end, and the connection with it: no client can take it for
    complete.
    """
    yield (_OPENING + ", ".join(begun)).encode()
    async for page in rest:
        yield f", {page}".encode()
    yield _END.encode()


def _when_gone(stream: object, do: Callable[[], object]) -> None:
    """Call `do` when nobody has the stream any more.

    Falcon does not close one that it has not begun to send because the client has gone.
    """
    loop = asyncio.get_running_loop()
    # Objects may be collected in any thread, and after the loop.
    weakref.finalize(stream, _call_in, loop, do).atexit = False


def _call_in(loop: asyncio.AbstractEventLoop, do: Callable[[], object]) -> None:
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(do)


def _cursor(place: int) -> str:
    return base64.urlsafe_b64encode(b"v1:%d" % place).decode().rstrip("=")


def _place(req: falcon.asgi.Request) -> int | None:
    """The place that the cursor in the address stands for, if there is one. Ends the call if it is wrong."""
    cursor = req.get_param("before")
    if cursor is None:
        return None
    try:
        found = _CURSOR.fullmatch(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode())
    except ValueError:
        found = None
    if found is None:
        refuse(falcon.HTTP_400, _WRONG_CURSOR)
    return int(found[1])
