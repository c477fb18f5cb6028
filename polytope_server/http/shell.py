"""What REST APIs have in common around their Falcon applications: headers, errors, clients that hang up."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NoReturn

import falcon
import falcon.asgi

from polytope_server.http.request_head import find_fault, is_about_server
from polytope_server.runtime import log

Scope = dict[str, Any]
Event = dict[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Event], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Sequence[tuple[bytes, bytes]]

#: Bytes of a body that are taken under one time limit, and the seconds in which they are to come.
_TOGETHER, _SUCCESSION = 256 << 10, 0.01
#: Keys of a scope: the connection of the call, where the server has put it, and what to release at its end.
CONNECTION, _AT_END = "polytope.connection", "polytope.at_end"
_NO_CONTENT: Headers = [(b"content-length", b"0")]
#: The message of every answer to an unexpected exception: what went wrong is for the log.
INTERNAL_ERROR = (
    "An internal error occurred. The operator finds it in the log by the header X-Request-Id of this answer, "
    "or by the time."
)


class ClientGoneError(ConnectionError):
    """The client hung up: it has not sent all of its body, or does not take the answer any more."""


class StalledError(TimeoutError):
    """The next bytes of a body did not come in time."""


async def body(req: falcon.asgi.Request, seconds: float) -> AsyncIterator[bytes]:
    """The body in chunks. Raises StalledError when none comes in time."""
    chunks = aiter(req.stream)
    # PERF: a time limit for each chunk would take as long as all the rest that is done with it.
    while gathered := await _gather_chunks(chunks, seconds):
        for chunk in gathered:
            yield chunk


async def _gather_chunks(chunks: AsyncIterator[bytes], seconds: float) -> list[bytes]:
    """The next chunks that come in quick succession, none at the end of the body."""
    gathered: list[bytes] = []
    size = 0
    clock = asyncio.get_running_loop().time
    started = clock()
    try:
        async with asyncio.timeout_at(started + seconds):
            while chunk := await anext(chunks, b""):
                gathered.append(chunk)
                size += len(chunk)
                if size >= _TOGETHER or clock() >= started + _SUCCESSION:
                    break
    except TimeoutError:
        raise StalledError(f"No data came for {seconds:g} seconds") from None
    return gathered


class Shell:
    """An ASGI application around another one.

    It gives each call an id, puts headers on every answer, errors too, refuses heads that have a fault, and
    ends the work for a client that hung up. Below it, a body that breaks off and a stream without a reader
    raise ClientGoneError; servers would let the first look complete, and the second go on.
    """

    def __init__(self, app: ASGIApp, headers: Headers, preflight: Headers) -> None:
        """`headers` are for every answer, `preflight` further ones for OPTIONS."""
        self._app = app
        self._headers = headers
        self._preflight = [*headers, *preflight]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        call_id = log.begin_call(_find_header(scope, b"x-request-id"))
        headers = self._preflight if scope["method"] == "OPTIONS" else self._headers
        call = _Call(receive, send, [*headers, (b"x-request-id", call_id.encode())], scope.get(CONNECTION))
        if (fault := find_fault(scope)) is not None:
            await answer_error(call.send, *fault)
            return
        if is_about_server(scope):
            await call.send({"type": "http.response.start", "status": 200, "headers": _NO_CONTENT})
            await call.send({"type": "http.response.body"})
            return
        # Here, because what is inside may copy the scope.
        scope = {**scope, _AT_END: []}
        with suppress(ClientGoneError):
            try:
                await self._app(scope, call.receive, call.send)
            finally:
                await call.end()
                for release in scope[_AT_END]:
                    release()


def _find_header(scope: Scope, name: bytes) -> bytes | None:
    """The value of a header; None if it is not there, or more than once."""
    values = [value for found, value in scope["headers"] if found == name]
    return values[0] if len(values) == 1 else None


class _Call:
    """One call as the application inside sees it."""

    def __init__(self, receive: Receive, send: Send, headers: Headers, connection: Any) -> None:
        self._receive, self._send, self._headers = receive, send, headers
        self._connection = connection
        self._body_is_open = False
        self._watch: asyncio.Future[Any] | None = None

    async def receive(self) -> Mapping[str, Any]:
        event = await self._receive()
        if event["type"] == "http.disconnect" and self._body_is_open:
            raise ClientGoneError("the body broke off")
        self._body_is_open = bool(event.get("more_body"))
        return event

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            event["headers"] = [*event["headers"], *self._headers]
        elif event.get("more_body"):
            # Sending tells nothing; the next event to be received is the end of the connection.
            if self._watch is None and not self._body_is_open:
                self._watch = asyncio.ensure_future(self._receive())
            if self._watch is not None and self._watch.done():
                raise ClientGoneError("the answer was not taken")
        await self._send(event)
        if event.get("more_body") and self._connection is not None:
            # Before the next piece is read, not before it is sent: a reader that stalls holds one, not two.
            await self._connection.drained()

    async def end(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)


def refuse(status: str, message: str, **headers: str) -> NoReturn:
    """End the call with an error. An underscore in the name of a header stands for a hyphen."""
    raise falcon.HTTPError(
        status, description=message, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )


async def answer_error(send: Send, status: int, message: str, headers: Headers = ()) -> None:
    """Answer a call with an error, outside of the application."""
    body = error_body(message)
    kind = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    await send({"type": "http.response.start", "status": status, "headers": kind})
    await send({"type": "http.response.body", "body": body})


def at_end(req: falcon.asgi.Request, release: Callable[[], None]) -> None:
    """Have `release` called when the call has ended, however it ends. Needs :class:`Shell` around it."""
    req.scope.setdefault(_AT_END, []).append(release)


def trust(req: falcon.asgi.Request) -> None:
    """Let the client of this call pause as long as it likes: it is one of our own processes."""
    connection = req.scope.get(CONNECTION)
    if connection is not None:
        connection.trust()


def error_body(message: str) -> bytes:
    """The body of every error: a flat object of one string, which is what `polytope-client` can print."""
    return json.dumps({"message": message}).encode()


def fail(resp: falcon.asgi.Response, status: str | int, message: str) -> None:
    """Make the answer an error."""
    resp.status = status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = error_body(message)


async def no_body() -> AsyncIterator[bytes]:
    """The stream of an answer to HEAD. Without any stream Falcon would send a length of 0."""
    return
    yield b""


async def pass_on(
    req: falcon.asgi.Request, resp: falcon.asgi.Response, error: Exception, params: dict[str, Any]
) -> None:
    """The error handler for ClientGoneError: the answer has no reader, and :class:`Shell` takes it."""
    raise error
